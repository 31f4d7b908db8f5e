"""llama.cpp's own HTTP server with one model, until standard input ends.

Run by the Python that has its package: ``server.py MODEL THREADS``. Prints its address.
"""

import sys

import xllamacpp


def main() -> None:
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.model_alias = {"qwen2.5-coder-1.5b-instruct-q4_k_m"}
    params.n_ctx = 16_384
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[2])
    params.use_jinja = True
    params.sampling.temp = 0.0  # the same words each time
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
