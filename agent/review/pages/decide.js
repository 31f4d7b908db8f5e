// Marks on the diff and the page where a patch is decided about. What the server tells is put into
// the page as text, never as markup; only pieces of pages come by `piece` of review.js.
"use strict";

const runAddress = /^(.*\/run\/[^/]+)(?:\/|$)/.exec(location.pathname)?.[1];
const marked = { state: null, files: new Map() };

async function post(address, body) {
  const answer = await fetch(address, {
    method: "POST",
    credentials: "same-origin",
    headers: { "content-type": "application/json", "x-csrf-token": csrf },
    body: JSON.stringify(body),
  });
  const json = answer.headers.get("content-type")?.startsWith("application/json");
  const said = json ? await answer.json() : {};
  if (!answer.ok) say(said.error || `the server answered ${answer.status}`);
  return { ok: answer.ok, said };
}

// A file's number in the patch, by its card.
const fileOf = (card) => card.id.replace("part-", "");

// -- marks ------------------------------------------------------------------------------------

async function mark(what, body) {
  const { said } = await post(`${runAddress}/marks/${what}`, {
    patch: marked.state.patch,
    ...body,
  });
  if (said.files) show(said);
}

function decide(verdicts) {
  return mark("decide", { seen: marked.state.revision, verdicts });
}

function decideFile(number, value) {
  return decide(marked.state.files[number].parts.map(([part]) => [+number, part, value]));
}

function decideAll(value) {
  return decide(
    Object.entries(marked.state.files).flatMap(([number, file]) =>
      file.parts.map(([part]) => [+number, part, value]),
    ),
  );
}

const WORDS = { accepted: "accepted", rejected: "rejected", "": "undecided" };

function fileState(file) {
  const values = file.parts.map(([, value]) => value);
  const same = values.every((value) => value === values[0]);
  if (same) return [WORDS[values[0]], values[0]];
  const taken = values.filter((value) => value === "accepted").length;
  return [`${taken} of ${values.length} accepted`, "part"];
}

function choice(value, wish, words, act) {
  const button = element("button", words, { type: "button", "aria-pressed": String(value === wish) });
  button.className = `mark ${wish}`;
  button.addEventListener("click", (event) => {
    event.preventDefault();
    act(value === wish ? "" : wish);
  });
  return button;
}

function choices(value, act, name) {
  const group = element("span", "", { role: "group", "aria-label": name });
  group.className = "choices";
  group.append(
    choice(value, "accepted", "Accept", act),
    choice(value, "rejected", "Reject", act),
  );
  return group;
}

function partName(part) {
  return part === 0 ? "the mode" : part === -1 ? "the file" : `hunk ${part}`;
}

function showFile(card) {
  const number = fileOf(card);
  const file = marked.state.files[number];
  if (!file) return;
  all(".marks, .choices", card).forEach((old) => old.remove());
  const [words, kind] = fileState(file);
  card.dataset.verdict = kind;
  let state = one("summary .verdict", card);
  if (!state) {
    state = element("span", "", { class: "verdict" });
    one("summary", card).append(state);
  }
  state.textContent = (words === "undecided" ? "" : words) + (file.reviewed ? " · read" : "");
  const bar = element("div", "", { class: "marks" });
  const values = new Set(file.parts.map(([, value]) => value));
  const whole = values.size === 1 ? [...values][0] : null;
  bar.append(choices(whole, (value) => decideFile(number, value), `${file.path}: all of it`));
  for (const [part, value] of file.parts) {
    if (part !== 0) continue;
    const mode = choices(value, (wish) => decide([[+number, 0, wish]]), `${file.path}: its mode`);
    mode.prepend("mode: ");
    bar.append(mode);
  }
  const read = element("button", "Read", { type: "button", "aria-pressed": String(file.reviewed) });
  read.className = "mark read";
  read.addEventListener("click", () => setRead(card, !file.reviewed));
  const note = element("button", "Comment", { type: "button", class: "mark" });
  note.addEventListener("click", () => writeComment(card, null));
  bar.append(read, note);
  one("summary", card).after(bar);
  for (const row of all("tr[data-hunk]", card)) {
    const part = file.parts.find(([it]) => it === +row.dataset.hunk);
    if (!part) continue;
    row.dataset.verdict = part[1];
    const name = `${file.path}: hunk ${part[0]}`;
    row.cells[0].append(choices(part[1], (wish) => decide([[+number, part[0], wish]]), name));
  }
  showComments(card, number);
}

function setRead(card, done) {
  const seen = marked.state.revision;
  if (done) card.open = false;
  return mark("reviewed", { seen, file: +fileOf(card), done });
}

// -- comments ---------------------------------------------------------------------------------

// Old and new number of a row's line, by the layout of its table.
function numbersOf(row) {
  if (!row || !isLine(row) || row.matches(".meta")) return null;
  const cells = [...row.cells];
  const split = row.closest("table").classList.contains("split");
  const [old, fresh] = split ? [cells[0], cells[2]] : [cells[0], cells[1]];
  return { old: +(old?.textContent || 0), new: +(fresh?.textContent || 0) };
}

function rowOf(card, side, line) {
  return all(".diff tr", card).find((row) => numbersOf(row)?.[side] === line);
}

function place(card, row, box) {
  if (!row) {
    one(".marks", card).append(box);
    return;
  }
  const added = element("tr", "", { class: "note-row" });
  const columns = row.closest("table").classList.contains("split") ? "4" : "3";
  const cell = element("td", "", { colspan: columns });
  cell.append(box);
  added.append(cell);
  let last = row;
  while (last.nextElementSibling?.classList.contains("note-row")) last = last.nextElementSibling;
  last.after(added);
}

function commentBox(comment) {
  const box = element("div", "", { class: "said" });
  const where = comment.line ? `line ${comment.line}${comment.side === "old" ? " as it was" : ""}` : "the file";
  box.append(element("p", `${comment.by}, ${where}`, { class: "soft" }));
  box.append(element("p", comment.text, { class: "words" }));
  const gone = element("button", "Withdraw", { type: "button" });
  gone.addEventListener("click", () => mark("withdraw", { id: comment.id }));
  box.append(gone);
  return box;
}

function showComments(card, number) {
  all(".note-row, .marks .said", card).forEach((old) => old.querySelector("form") || old.remove());
  for (const comment of marked.state.comments) {
    if (comment.file !== +number) continue;
    const row = comment.line ? rowOf(card, comment.side, comment.line) : null;
    place(card, row, commentBox(comment));
  }
}

function writeComment(card, row) {
  const numbers = numbersOf(row);
  const side = numbers && !numbers.new ? "old" : "new";
  const line = numbers ? numbers[side] : 0;
  const form = element("form", "", { class: "write" });
  const label = element("label", line ? `Comment on line ${line}` : "Comment on the file");
  const text = element("textarea", "", { rows: "3", maxlength: "10000", required: "" });
  label.append(text);
  const stop = element("button", "Discard", { type: "button" });
  form.append(label, element("button", "Add comment", { type: "submit", class: "main" }), " ", stop);
  place(card, row, form);
  const end = () => (form.closest("tr.note-row") || form).remove();
  stop.addEventListener("click", end);
  form.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") end();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = { file: +fileOf(card), side, line, text: text.value };
    end();
    await mark("comment", said);
  });
  text.focus();
}

// The one button that begins a comment moves to the line that is pointed at.
const plus = element("button", "+", { type: "button", class: "plus-line", "aria-label": "Comment on this line" });
let pointed = null;
document.addEventListener("pointerover", (event) => {
  const row = event.target.closest?.(".diff tr");
  if (!marked.state || !numbersOf(row) || row === pointed) return;
  pointed = row;
  row.cells[row.cells.length - 1].prepend(plus);
});
plus.addEventListener("click", (event) => {
  event.stopPropagation();
  const row = plus.closest("tr");
  plus.remove();
  pointed = null;
  writeComment(row.closest(".file"), row);
});

// -- keys -------------------------------------------------------------------------------------

function hunkOf(row) {
  for (let it = row; it; it = it.previousElementSibling) if (it.dataset.hunk) return +it.dataset.hunk;
  return null;
}

// What the keys are about: the hunk of the current line, or else the file.
function decideHere(value) {
  const card = currentCard();
  if (!card || !marked.state) return;
  const number = fileOf(card);
  const part = line?.isConnected ? hunkOf(line) : null;
  const known = marked.state.files[number].parts.some(([it]) => it === part);
  if (part !== null && known) decide([[+number, part, value]]);
  else decideFile(number, value);
}

if (one(".cards")) {
  key("a", "accept this hunk, or this file", () => decideHere("accepted"));
  key("r", "reject this hunk, or this file", () => decideHere("rejected"));
  key("z", "neither of both", () => decideHere(""));
  key("m", "mark this file as read, or not", () => {
    const card = currentCard();
    if (card && marked.state) setRead(card, !marked.state.files[fileOf(card)].reviewed);
  });
  key("c", "comment on this line, or this file", () => {
    const card = currentCard();
    if (card && marked.state) writeComment(card, line?.isConnected ? line : null);
  });
}

async function goBeside(which) {
  const answer = await fetch(`${runAddress}/beside`, { credentials: "same-origin" });
  const other = answer.ok && (await answer.json())[which];
  const here = location.pathname.slice(runAddress.length);
  if (other) location.assign(`${base}/run/${other}${here}`);
  else say("there is no further run");
}

if (runAddress) {
  key("]", "next run", () => goBeside("after"));
  key("[", "run before", () => goBeside("before"));
}

// The list of runs: j and k walk through it.
const runLinks = all("#runs td a");
function moveRun(step) {
  const at = runLinks.indexOf(document.activeElement);
  runLinks[Math.min(runLinks.length - 1, Math.max(0, at + step))]?.focus();
}
if (one("#runs")) {
  key("j", "next run", () => moveRun(1));
  key("k", "run before", () => moveRun(-1));
  key("f", "find a run", () => one("#run-search").focus());
  key("]", "next page", () => one("a[rel=next]")?.click());
  key("[", "page before", () => one("a[rel=prev]")?.click());
}
const acceptClean = one("#accept-clean");
if (acceptClean) {
  acceptClean.addEventListener("click", async () => {
    acceptClean.disabled = true;
    const { ok, said } = await post(`${base}/accept-clean`, {});
    if (!ok) acceptClean.disabled = false;
    else if (said.count) location.reload();
    else say("there is none that nobody decided about");
  });
}

// -- the page ---------------------------------------------------------------------------------

function tally() {
  const [accepted, rejected, open] = marked.state.counts;
  const place = one("#tally");
  if (place) place.textContent = `${accepted} accepted · ${rejected} rejected · ${open} undecided`;
  const list = one("#decided-files");
  if (!list) return;
  const rows = Object.entries(marked.state.files).map(([number, file]) => {
    const row = element("li", "");
    const [words, kind] = fileState(file);
    row.dataset.verdict = kind;
    const said = marked.state.comments.filter((it) => it.file === +number);
    row.append(element("a", file.path, { href: `${runAddress}/diff#part-${number}` }));
    row.append(element("span", words + (file.reviewed ? " · read" : ""), { class: "verdict" }));
    said.forEach((comment) => row.append(commentBox(comment)));
    return row;
  });
  list.replaceChildren(...rows);
}

function show(state) {
  const focused = document.activeElement?.closest?.(".card.file, #decision");
  const label = document.activeElement?.closest?.("[role=group]")?.getAttribute("aria-label");
  const pressed = document.activeElement?.textContent;
  marked.state = state;
  all(".card.file").forEach(showFile);
  tally();
  // What was replaced had the focus: its successor gets it.
  if (focused && label) {
    const group = all("[role=group]", focused).find((it) => it.getAttribute("aria-label") === label);
    all("button", group || focused).find((it) => it.textContent === pressed)?.focus();
  } else if (focused && pressed === "Read") {
    one("button.read", focused)?.focus();
  }
}

async function refresh() {
  if (document.hidden) return;
  const seen = marked.state ? `?seen=${marked.state.revision}&patch=${marked.state.patch}` : "";
  // Where the server has ended, whoever clicks is told.
  const answer = await fetch(`${runAddress}/marks${seen}`, { credentials: "same-origin" }).catch(() => null);
  if (answer?.status === 200) show(await answer.json());
}

function watched(card) {
  // Lines that are fetched later get their buttons then.
  new MutationObserver((changes) => {
    const lines = changes.some((it) => [...it.addedNodes].some((node) => node.matches?.(".hunks")));
    if (lines && marked.state) showFile(card);
  }).observe(card, { childList: true });
}

if (one(".card.file") || one("#decision")) {
  all(".card.file").forEach(watched);
  allCards.then((cards) => {
    cards.forEach(watched);
    if (cards.length && marked.state) show(marked.state);
  });
  painted.then(refresh);
  setInterval(refresh, 4000);
}

for (const [id, value] of [["accept", "accepted"], ["reject", "rejected"], ["forget", ""]]) {
  one(`#${id}-all`)?.addEventListener("click", () => marked.state && decideAll(value));
}

// -- applying and sending back ----------------------------------------------------------------

const panel = one("#action");
const forms = [one("#apply-form"), one("#send-back-form")].filter(Boolean);

async function follow() {
  let at = 0;
  let id = "";
  const log = element("pre", "", { class: "words", tabindex: "0", "aria-label": "What is done" });
  for (;;) {
    const answer = await fetch(`${runAddress}/action?since=${at}&id=${id}`, { credentials: "same-origin" });
    if (answer.status !== 200) return;
    const state = await answer.json();
    if (state.id !== id) {
      id = state.id;
      log.textContent = "";
      const stop = element("button", "Cancel", { type: "button", id: "cancel" });
      stop.addEventListener("click", () => post(`${runAddress}/decide/cancel`, {}));
      panel.replaceChildren(element("h2", state.kind === "apply" ? "Applying" : "Sending back"), log, stop);
      panel.hidden = false;
    }
    at = state.at;
    log.textContent += state.text;
    log.scrollTop = log.scrollHeight;
    if (state.over) {
      one("#cancel")?.remove();
      panel.append(...(await piece(`${runAddress}/action/result`)).childNodes);
      panel.dataset.over = "yes";
      forms.forEach((form) => {
        form.dataset.key = state.next_key;
        one("[type=submit]", form).disabled = false;
      });
      if (state.run && follow.begun) location.assign(`${base}/run/${state.run}/timeline`);
      return;
    }
  }
}

function fieldsOf(form) {
  const data = new FormData(form);
  const text = (name) => String(data.get(name) || "");
  if (form.id === "send-back-form") return { words: text("words"), model: text("model") };
  return {
    branch: text("branch"),
    three_way: data.has("three_way"),
    risks: data.getAll("risk").map(String),
    unverified: data.has("unverified"),
    reason: text("reason"),
  };
}

for (const form of forms) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!marked.state) return;
    one("[type=submit]", form).disabled = true;
    follow.begun = true;
    delete panel.dataset.over;
    const { ok } = await post(`${runAddress}/decide/${form.id === "apply-form" ? "apply" : "send-back"}`, {
      key: form.dataset.key,
      patch: marked.state.patch,
      revision: marked.state.revision,
      ...fieldsOf(form),
    });
    if (ok) {
      panel.scrollIntoView({ block: "nearest" });
      await follow();
    } else {
      one("[type=submit]", form).disabled = false;
      await refresh();
    }
  });
}
if (panel) follow();
