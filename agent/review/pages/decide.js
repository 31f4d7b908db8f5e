// Marks on the diff and the page where a patch is decided about. What the server tells is put into
// the page as text, never as markup; only pieces of pages come by `piece` of review.js.
"use strict";

const runAddress = /^(.*\/run\/[^/]+)(?:\/|$)/.exec(location.pathname)?.[1];
const marked = { state: null };

async function post(address, body) {
  const answer = await fetch(address, {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": csrf },
    body: JSON.stringify(body),
  });
  const json = answer.headers.get("content-type")?.startsWith("application/json");
  const said = json ? await answer.json() : {};
  if (!answer.ok) say(said.error || `the server answered ${answer.status}`);
  return { ok: answer.ok, said };
}

// A file's number in the patch, by its card; and what is known of it.
const numberOf = (card) => +card.id.replace("part-", "");
const stateOf = (card) => marked.state?.files[numberOf(card)];

// -- marks ------------------------------------------------------------------------------------

async function mark(what, body) {
  const { said } = await post(`${runAddress}/marks/${what}`, { patch: marked.state.patch, ...body });
  if (said.files) show(said);
}

// What is wished for these parts of files: ``accepted``, ``rejected``, or nothing.
function decide(parts, wish) {
  const verdicts = parts.map(([file, part]) => [file, part, wish]);
  return mark("decide", { seen: marked.state.revision, verdicts });
}

const partsOf = (number) => (marked.state.files[number]?.parts ?? []).map(([part, value]) => [number, part, value]);
const decideAll = (wish) => decide(Object.keys(marked.state.files).flatMap((number) => partsOf(+number)), wish);

function fileState({ parts, reviewed }) {
  const taken = parts.filter(([, value]) => value === "accepted").length;
  const first = parts[0]?.[1] ?? "";
  const same = parts.every(([, value]) => value === first);
  const words = same ? first : `${taken} of ${parts.length} accepted`;
  return { words, kind: same ? first : "part", read: reviewed ? " · read" : "" };
}

// What of the cards follows the state; each is called whenever that is another one.
const followers = [];
function follows(act) {
  followers.push(act);
  act();
}

function pressable(words, kind, isOn, act) {
  const made = button(words, () => act(!isOn()), { class: `mark ${kind}` });
  follows(() => made.setAttribute("aria-pressed", isOn()));
  return made;
}

// Accept and Reject for some parts of a file; pressed where all of them are.
function choices(name, parts, before = "") {
  const pick = (words, wish) => {
    const isOn = () => parts().every(([, , value]) => value === wish);
    return pressable(words, wish, isOn, (on) => decide(parts(), on ? wish : ""));
  };
  const group = { role: "group", "aria-label": name, class: "choices" };
  return element("span", group, before, pick("Accept", "accepted"), pick("Reject", "rejected"));
}

// The marks that a card and its hunks do not have yet: lines may come later than their file.
function markCard(card) {
  const file = stateOf(card);
  if (!file) return;
  const some = (wanted) => () => partsOf(numberOf(card)).filter(([, part]) => part === wanted);
  if (!one(".marks", card)) {
    const state = element("span", { class: "verdict" });
    one("summary", card).append(state);
    follows(() => {
      const { words, kind, read } = fileState(stateOf(card) ?? file);
      card.dataset.verdict = kind;
      state.textContent = words + read;
    });
    const bar = element("div", { class: "marks" }, choices(`${file.path}: all of it`, () => partsOf(numberOf(card))));
    if (some(0)().length) bar.append(choices(`${file.path}: its mode`, some(0), "mode: "));
    bar.append(
      pressable("Read", "read", () => Boolean(stateOf(card)?.reviewed), (done) => setRead(card, done)),
      button("Comment", () => writeComment(card, null), { class: "mark" }),
    );
    one("summary", card).after(bar);
  }
  for (const row of all("tr[data-hunk]", card)) {
    const part = +row.dataset.hunk;
    if (one(".choices", row) || !some(part)().length) continue;
    row.cells[0].append(choices(`${file.path}: hunk ${part}`, some(part)));
    follows(() => (row.dataset.verdict = some(part)()[0]?.[2] ?? ""));
  }
  showComments(card);
}

function setRead(card, done) {
  if (done) card.open = false;
  return mark("reviewed", { seen: marked.state.revision, file: numberOf(card), done });
}

// -- comments ---------------------------------------------------------------------------------

function place(card, row, box) {
  if (!row) return one(".marks", card).append(box);
  while (row.nextElementSibling?.matches(".note-row")) row = row.nextElementSibling;
  rowBelow(row, "note-row", box);
}

function commentBox(comment) {
  const where = comment.line ? `line ${comment.line}${comment.side === "old" ? " as it was" : ""}` : "the file";
  return element(
    "div",
    { class: "said" },
    element("p", { class: "soft" }, `${comment.by}, ${where}`),
    element("p", { class: "words" }, comment.text),
    button("Withdraw", () => mark("withdraw", { id: comment.id })),
  );
}

const commentsOn = (number) => marked.state.comments.filter((it) => it.file === number);

function showComments(card) {
  all(".note-row, .marks .said", card).forEach((old) => one("form", old) || old.remove());
  for (const comment of commentsOn(numberOf(card))) {
    const fits = (row) => numbersOf(row)?.[comment.side] === comment.line;
    place(card, comment.line ? all(".diff tr", card).find(fits) : null, commentBox(comment));
  }
}

function writeComment(card, row) {
  const numbers = numbersOf(row);
  const side = numbers && !numbers.new ? "old" : "new";
  const line = numbers ? numbers[side] : 0;
  const text = element("textarea", { rows: "3", maxlength: "10000", required: "" });
  const end = () => (form.closest("tr.note-row") || form).remove();
  const keydown = (event) => {
    event.stopPropagation();
    if (event.key === "Escape") end();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  };
  const submit = (event) => {
    event.preventDefault();
    end();
    mark("comment", { file: numberOf(card), side, line, text: text.value });
  };
  const form = element(
    "form",
    { class: "write", keydown, submit },
    element("label", {}, line ? `Comment on line ${line}` : "Comment on the file", text),
    element("button", { type: "submit", class: "main" }, "Add comment"),
    " ",
    button("Discard", end),
  );
  place(card, row, form);
  text.focus();
}

// The one button that begins a comment moves to the line that is pointed at.
const plus = button("+", (event) => {
  event.stopPropagation();
  const row = plus.closest("tr");
  plus.remove();
  writeComment(row.closest(".file"), row);
}, { class: "plus-line", "aria-label": "Comment on this line" });
document.addEventListener("pointerover", (event) => {
  const row = event.target.closest?.(".diff tr");
  if (marked.state && numbersOf(row) && !row.contains(plus)) [...row.cells].at(-1).prepend(plus);
});

// -- keys -------------------------------------------------------------------------------------

// What the keys are about, once there are marks: the current file, and the current line if any.
function here(act) {
  const card = currentCard();
  if (card && stateOf(card)) act(card, line?.isConnected ? line : null);
}

// The hunk of the current line, or else the file.
function decideHere(wish) {
  here((card, row) => {
    let it = row;
    while (it && !it.dataset.hunk) it = it.previousElementSibling;
    const parts = partsOf(numberOf(card));
    const hunk = parts.filter(([, part]) => it && part === +it.dataset.hunk);
    decide(hunk.length ? hunk : parts, wish);
  });
}

if (one(".cards")) {
  key("a", "accept this hunk, or this file", () => decideHere("accepted"));
  key("r", "reject this hunk, or this file", () => decideHere("rejected"));
  key("z", "neither of both", () => decideHere(""));
  key("m", "mark this file as read, or not", () => here((card) => setRead(card, !stateOf(card).reviewed)));
  key("c", "comment on this line, or this file", () => here(writeComment));
}

async function goBeside(which) {
  const answer = await fetch(`${runAddress}/beside`);
  const other = answer.ok && (await answer.json())[which];
  if (other) location.assign(`${base}/run/${other}${location.pathname.slice(runAddress.length)}`);
  else say("there is no further run");
}

if (runAddress) {
  key("]", "next run", () => goBeside("after"));
  key("[", "run before", () => goBeside("before"));
}

// The list of runs: j and k walk through it.
function moveRun(step) {
  const links = all("#runs td a");
  const at = links.indexOf(document.activeElement);
  links[Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
}
if (one("#runs")) {
  key("j", "next run", () => moveRun(1));
  key("k", "run before", () => moveRun(-1));
  key("f", "find a run", () => one("#run-search").focus());
  key("]", "next page", () => one("a[rel=next]")?.click());
  key("[", "page before", () => one("a[rel=prev]")?.click());
}
const acceptClean = one("#accept-clean");
acceptClean?.addEventListener("click", async () => {
  acceptClean.disabled = true;
  const { ok, said } = await post(`${base}/accept-clean`, {});
  if (!ok) acceptClean.disabled = false;
  else if (said.count) location.reload();
  else say("there is none that nobody decided about");
});

// -- the page ---------------------------------------------------------------------------------

function tally() {
  const [accepted, rejected, open] = marked.state.counts;
  one("#tally").textContent = `${accepted} accepted · ${rejected} rejected · ${open} undecided`;
  const rows = Object.entries(marked.state.files).map(([number, file]) => {
    const { words, kind, read } = fileState(file);
    return element(
      "li",
      { "data-verdict": kind },
      element("a", { href: `${runAddress}/diff#part-${number}` }, file.path),
      element("span", { class: "verdict" }, (words || "undecided") + read),
      ...commentsOn(+number).map(commentBox),
    );
  });
  one("#decided-files").replaceChildren(...rows);
}

function show(state) {
  marked.state = state;
  followers.forEach((act) => act());
  all(".card.file").forEach(markCard);
  if (one("#decision")) tally();
}

async function refresh() {
  if (document.hidden) return;
  const seen = marked.state ? `?seen=${marked.state.revision}&patch=${marked.state.patch}` : "";
  // Where the server has ended, whoever clicks is told.
  const answer = await fetch(`${runAddress}/marks${seen}`).catch(() => null);
  if (answer?.status === 200) show(await answer.json());
}

if (one(".card.file, #decision")) {
  document.addEventListener("card", (event) => markCard(event.detail));
  painted.then(refresh);
  setInterval(refresh, 4000);
}

for (const [id, value] of [["accept", "accepted"], ["reject", "rejected"], ["forget", ""]]) {
  one(`#${id}-all`)?.addEventListener("click", () => marked.state && decideAll(value));
}

// -- applying and sending back ----------------------------------------------------------------

const panel = one("#action");
const forms = all("#apply-form, #send-back-form");
const able = (form, can) => all("[type=submit]", form).forEach((it) => (it.disabled = !can));

async function follow() {
  let at = 0;
  let id = "";
  const log = element("pre", { class: "words", tabindex: "0", "aria-label": "What is done" });
  const stop = button("Cancel", () => post(`${runAddress}/decide/cancel`, {}), { id: "cancel" });
  for (;;) {
    const answer = await fetch(`${runAddress}/action?since=${at}&id=${id}`);
    if (answer.status !== 200) return;
    const state = await answer.json();
    if (state.id !== id) {
      id = state.id;
      log.textContent = "";
      const title = element("h2", {}, state.kind === "apply" ? "Applying" : "Sending back");
      panel.replaceChildren(title, log, stop);
      panel.hidden = false;
    }
    at = state.at;
    log.textContent += state.text;
    log.scrollTop = log.scrollHeight;
    if (!state.over) continue;
    stop.remove();
    const came = await piece(`${runAddress}/action/result`, "What came of it can't be fetched");
    panel.append(...(came?.childNodes ?? []));
    for (const form of forms) {
      form.dataset.key = state.next_key;
      able(form, true);
    }
    if (state.run && follow.begun) location.assign(`${base}/run/${state.run}/timeline`);
    return;
  }
}

function fieldsOf(form) {
  const data = new FormData(form);
  if (form.id === "send-back-form") return Object.fromEntries(data);
  return {
    branch: data.get("branch"),
    three_way: data.has("three_way"),
    risks: data.getAll("risk"),
    unverified: data.has("unverified"),
    reason: data.get("reason"),
  };
}

for (const form of forms) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!marked.state) return;
    able(form, false);
    follow.begun = true;
    const { patch, revision } = marked.state;
    const said = { key: form.dataset.key, patch, revision, ...fieldsOf(form) };
    const { ok } = await post(`${runAddress}/decide/${form.id.replace("-form", "")}`, said);
    if (ok) {
      panel.scrollIntoView({ block: "nearest" });
      await follow();
    } else {
      able(form, true);
      await refresh();
    }
  });
}
if (panel) follow();
