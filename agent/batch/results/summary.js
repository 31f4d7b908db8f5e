"use strict";
// Sorts, filters and pages the table that stands in the page. Makes no markup out of words.
(() => {
  const PAGE = 200;
  const table = document.getElementById("tasks");
  const body = table.tBodies[0];
  const words = document.getElementById("words");
  const status = document.getElementById("status");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const collator = new Intl.Collator("en", { numeric: true });

  const key = (cell) => {
    if (cell.dataset.s !== undefined) return Number(cell.dataset.s);
    const text = cell.textContent;
    return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
  };
  const all = Array.from(body.rows, (row) => ({
    row,
    text: row.textContent.toLowerCase(),
    status: row.dataset.v,
    keys: Array.from(row.cells, key),
  }));
  let order = all.slice();
  let shown = PAGE;

  // What has no value stands last, in both directions.
  const compare = (one, other, sign) => {
    if (one === "" || other === "") return (one === "") - (other === "");
    return sign * ordered(one, other);
  };
  const ordered = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    if (typeof one === "number") return -1;
    if (typeof other === "number") return 1;
    return collator.compare(one, other);
  };
  const draw = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = order.filter(
      (item) =>
        (status.value === "all" || item.status === status.value) &&
        wanted.every((word) => item.text.includes(word)),
    );
    body.replaceChildren(...found.slice(0, shown).map((item) => item.row));
    const now = Math.min(shown, found.length);
    const of = now < found.length ? `${now} of ${found.length}` : `${found.length}`;
    count.textContent = found.length === all.length ? `${of} tasks` : `${of} tasks that fit, of ${all.length}`;
    more.hidden = now === found.length;
  };
  const again = () => {
    shown = PAGE;
    draw();
  };

  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      order = all.slice().sort((one, other) => compare(one.keys[column], other.keys[column], sign));
      again();
    });
    head.replaceChildren(button);
  });
  words.addEventListener("input", again);
  status.addEventListener("change", again);
  more.addEventListener("click", () => {
    const first = shown;
    shown += PAGE;
    draw();
    body.rows[first]?.querySelector("a")?.focus();
  });
  document.getElementById("filter").hidden = false;
  draw();
})();
