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
    # The same words each time, and not the same call for ever: the penalty is the makers' own.
    params.sampling.temp, params.sampling.penalty_repeat = 0.0, 1.1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
