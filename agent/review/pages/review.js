// What the pages of a review do in the browser. Nothing comes from outside; pieces of pages come
// from this server, escaped there, and are put in by the one function `piece`.
"use strict";

const base = document.querySelector('meta[name="base"]').content;
const csrf = document.querySelector('meta[name="csrf"]').content;
const trusted = window.trustedTypes
  ? trustedTypes.createPolicy("moonpool", { createHTML: (text) => text })
  : { createHTML: (text) => text };
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// What can wait, waits until something is to be seen. A page in the background is not painted.
const painted = new Promise((seen) => {
  new PerformanceObserver(seen).observe({ type: "paint", buffered: true });
  setTimeout(seen, 1500);
});

const parsed = (html) => new DOMParser().parseFromString(trusted.createHTML(html), "text/html").body;

// A piece of a page; where it can't be had that is said, and nothing given.
async function piece(address, complaint) {
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    return parsed(await answer.text());
  } catch (error) {
    say(`${complaint}: ${error.message}`);
    return null;
  }
}

const said = one("#said");
function say(text) {
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => said.replaceChildren(), 6000);
}

// An attribute that is a function hears the event of its name.
function element(name, attributes, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else made.setAttribute(key, value);
  }
  made.append(...content);
  return made;
}
const button = (words, click, attributes = {}) =>
  element("button", { type: "button", click, ...attributes }, words);

// Lines of files that are not in the page yet, when they come near. Whoever marks files hears `card`.
const came = (card) => document.dispatchEvent(new CustomEvent("card", { detail: card }));
async function fetchLines(place) {
  if (place.dataset.asked) return;
  place.dataset.asked = "yes";
  const card = place.closest(".file");
  const found = await piece(place.dataset.lines, "These lines can't be fetched");
  if (!found) return delete place.dataset.asked;
  place.replaceWith(...found.childNodes);
  came(card);
}

const near = new IntersectionObserver(
  (seen) => seen.filter((it) => it.isIntersecting).forEach((it) => fetchLines(it.target)),
  { rootMargin: "1200px" },
);
painted.then(() => all(".lines-later").forEach((place) => near.observe(place)));

// The files behind the first ones, once these are seen.
async function fetchCards(place) {
  await painted;
  const found = place && (await piece(place.dataset.cards, "The other files can't be fetched"));
  if (!found) return;
  const made = all(":scope > div > .file", found);
  one("#file-list").append(...all(":scope > ul > li", found));
  one(".cards").append(...made);
  place.remove();
  all(".lines-later").forEach((it) => near.observe(it));
  made.forEach(came);
}
const allCards = fetchCards(one("#cards-later"));

// Unchanged lines between hunks.
async function fetchBetween(more) {
  more.disabled = true;
  const found = await piece(more.dataset.lines, "These lines can't be fetched");
  more.disabled = false;
  if (!found) return;
  const row = more.closest("tr");
  row.before(...all("tr", found));
  more.remove();
  if (!row.textContent.trim()) row.remove();
}

document.addEventListener("click", (event) => {
  const more = event.target.closest("button.more");
  if (more) fetchBetween(more);
});

// Keys: each with its words, for the list that `?` shows.
const keys = new Map();
const key = (name, words, act) => keys.set(name, { words, act });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const found = !one("dialog[open]") && keys.get(event.key);
  if (!found) return;
  event.preventDefault();
  found.act();
});

function showKeys() {
  const rows = [...keys].flatMap(([name, { words }]) => [
    element("dt", {}, element("kbd", {}, name)),
    element("dd", {}, words),
  ]);
  const dialog = element(
    "dialog",
    { "aria-label": "Keys", close: () => dialog.remove() },
    element("h2", {}, "Keys"),
    element("dl", {}, ...rows),
    button("Close", () => dialog.close()),
  );
  document.body.append(dialog);
  dialog.showModal();
}

key("?", "these keys", showKeys);
one("#keys-button").addEventListener("click", showKeys);
all("nav.top a:not(.brand)").forEach((link, at) =>
  key(String(at + 1), `go to ${link.firstChild.textContent}`, () => link.click()),
);

// The layout, which the server remembers by a cookie.
const layoutButton = one("#layout-button");
layoutButton?.addEventListener("click", () => {
  document.cookie = `moonpool-layout=${layoutButton.dataset.layout}; path=${base}; samesite=strict`;
  location.reload();
});

// Finding a file: its name, then Enter.
const search = one("#file-search");
if (search) {
  const fits = (item) => item.dataset.name.includes(search.value.toLowerCase());
  const items = () => allCards.then(() => all("#file-list > li"));
  const filter = async () => (await items()).forEach((item) => (item.hidden = !fits(item)));
  search.addEventListener("input", filter);
  search.addEventListener("keydown", async (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // or it would fold the file that gets the focus
    const first = (await items()).find(fits);
    if (!first) return;
    search.blur();
    search.value = "";
    filter();
    goToFile(one(one("a", first).hash));
  });
}

// Moving: the current file has its summary focused, the current line a mark.
const cards = () => all(".cards > .file");
let line = null;

function goToFile(card) {
  if (!card) return;
  setLine(null);
  card.open = true;
  card.scrollIntoView();
  one("summary", card).focus({ preventScroll: true });
}

function currentCard() {
  const focused = document.activeElement.closest(".file");
  if (line?.isConnected) return line.closest(".file");
  return focused || cards().find((card) => card.getBoundingClientRect().bottom > 120);
}

function moveFile(step) {
  const list = cards();
  const here = list.indexOf(currentCard());
  const focused = document.activeElement.closest(".file") || line;
  goToFile(list[Math.max(0, here + (focused ? step : 0))] || list.at(-1));
}

function setLine(row) {
  line?.classList.remove("current");
  line = row;
  if (!row) return;
  row.classList.add("current");
  row.scrollIntoView({ block: "nearest" });
  document.activeElement.blur();
}

const isLine = (row) => !row.matches(".hunk, .why-row, .note-row, .opinion-row");

function moveLine(step, wanted = isLine) {
  const card = currentCard();
  if (!card) return;
  const rows = all("table.diff > tbody > tr", card).filter(wanted);
  if (!rows.length) return;
  if (!line?.isConnected) return setLine(rows[0]);
  const after = (row) => line.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
  const others = rows.filter((row) => row !== line && Boolean(after(row)) === step > 0);
  if (others.length) return setLine(others.at(step > 0 ? 0 : -1));
  const list = cards();
  goToFile(list[list.indexOf(card) + step]);
}

if (search) {
  key("f", "find a file: type its name, then Enter", () => search.focus());
  key("n", "next file", () => moveFile(1));
  key("p", "previous file", () => moveFile(-1));
  key("j", "next line", () => moveLine(1));
  key("k", "previous line", () => moveLine(-1));
  key("J", "next hunk", () => moveLine(1, (row) => row.matches("[data-hunk]")));
  key("K", "previous hunk", () => moveLine(-1, (row) => row.matches("[data-hunk]")));
  key("w", "why is this line here", () => line && askWhy(line));
  key("u", "unfold the unchanged lines of this file", () => all("button.more", currentCard()).forEach((it) => it.click()));
  key("o", "open or fold this file", () => {
    const card = currentCard();
    if (card) card.open = !card.open;
  });
  key("s", "side by side, or unified", () => layoutButton.click());
}
key("Escape", "close what is open", () => {
  all(".why-row").forEach((row) => row.remove());
  setLine(null);
});

// The cells of a row that hold its numbers, by the layout of its table; and the numbers, or null.
const cellsOf = ({ cells }) => ({ old: cells[0], new: cells[widthOf(cells[0]) === "4" ? 2 : 1] });
const widthOf = (inside) => (inside.closest("table").matches(".split") ? "4" : "3");
function numbersOf(row) {
  if (!row?.matches(".file tr:not(.meta)") || !isLine(row)) return null;
  const cells = cellsOf(row);
  return { old: +cells.old.textContent, new: +cells.new.textContent };
}

// A row over the whole width, below another one.
function rowBelow(row, kind, ...content) {
  const cell = element("td", { colspan: widthOf(row) }, ...content);
  const added = element("tr", { class: kind }, cell);
  row.after(added);
  return added;
}

// Why is this line here: by its number.
async function askWhy(row, cell = null) {
  const below = row.nextElementSibling;
  if (below?.matches(".why-row")) return below.remove();
  const cells = cellsOf(row);
  const side = ["new", "old"].find((it) => (cell ? cells[it] === cell : cells[it]?.textContent));
  if (!side) return;
  const address = `${row.closest(".file").dataset.why}/${side}/${+cells[side].textContent}`;
  const found = await piece(address, "Who wrote it can't be told");
  if (found) rowBelow(row, "why-row", ...found.childNodes).scrollIntoView({ block: "nearest" });
}

document.addEventListener("click", (event) => {
  const cell = event.target.closest("table.diff td");
  if (cell && /^\d+$/.test(cell.textContent) && numbersOf(cell.parentElement)) {
    askWhy(cell.parentElement, cell);
  }
});

// A link to a line of a file: #part-3-17.
async function goToLine() {
  const [, part, number] = location.hash.match(/^#part-(\d+)(?:-(\d+))?$/) || [];
  if (!part) return;
  if (!one(`#part-${part}`)) await allCards;
  const card = one(`#part-${part}`);
  if (!card?.matches(".file")) return;
  card.open = true;
  const later = one(".lines-later", card);
  if (later) await fetchLines(later);
  goToFile(card);
  if (!number) return;
  const rows = all("table.diff > tbody > tr", card);
  const row = rows.find((it) => numbersOf(it)?.new === +number);
  if (row) {
    setLine(row);
    row.scrollIntoView({ block: "center" });
  }
}
window.addEventListener("hashchange", goToLine);
goToLine();

// The timeline: what is shown of it, and what follows while the run goes on.
const steps = one("#timeline");
const filters = all("button[data-filter]");
for (const filter of filters) {
  filter.addEventListener("click", () => {
    steps.dataset.shown = filter.dataset.filter;
    for (const other of filters) other.setAttribute("aria-pressed", String(other === filter));
  });
}
if (filters.length) {
  key("x", "show another kind of step", () => {
    const here = filters.findIndex((it) => it.getAttribute("aria-pressed") === "true");
    filters[(here + 1) % filters.length].click();
  });
}

if (steps?.dataset.live) {
  const source = new EventSource(steps.dataset.live);
  source.addEventListener("rows", (event) => {
    const atEnd = window.innerHeight + window.scrollY > document.body.scrollHeight - 80;
    steps.append(...parsed(event.data).childNodes);
    if (atEnd) window.scrollTo(0, document.body.scrollHeight);
  });
  const ended = (event) => {
    source.close();
    one("#live").textContent = event.data;
    if (event.type === "over") location.reload();
  };
  source.addEventListener("over", ended);
  source.addEventListener("fault", ended);
}
