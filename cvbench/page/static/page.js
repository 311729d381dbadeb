"use strict";
// Tabs, sorting, filtering, copying and fragments. Without it everything is shown, one below the other.
document.documentElement.classList.add("js");
addEventListener("DOMContentLoaded", () => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (name, set) => Object.assign(document.createElement(name), set);

  // Tabs: a list of links becomes a tab list.
  const tabs = all(".tabs a"), panels = all(".panel");
  const select = (index, focus) => tabs.forEach((tab, other) => {
    const chosen = other === index;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    panels[other].hidden = !chosen;
    if (chosen && focus) tab.focus();
  });
  const choose = (index, focus) => {
    select(index, focus);
    history.replaceState(null, "", tabs[index].hash);
  };
  tabs.forEach((tab, index) => {
    tab.id = `tab-${index}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panels[index].id);
    tab.parentNode.setAttribute("role", "presentation");
    panels[index].setAttribute("role", "tabpanel");
    panels[index].setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", event => { event.preventDefault(); choose(index, true); });
    tab.addEventListener("keydown", event => {
      const last = tabs.length - 1;
      const next = { ArrowRight: index < last ? index + 1 : 0, ArrowLeft: index > 0 ? index - 1 : last,
                     Home: 0, End: last, " ": index }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      choose(next, true);
    });
  });
  if (tabs.length) {
    tabs[0].closest("ul").setAttribute("role", "tablist");
    tabs[0].closest("ul").setAttribute("aria-label", "Tasks");
    select(0);
  }
  document.documentElement.classList.add("ready");

  // A fragment opens what it names, and all that this lies in.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const panel = panels.indexOf(target.closest(".panel"));
    if (panel >= 0 && tabs.length) select(panel);
    for (let place = target; place; place = place.parentElement) if (place.localName === "details") place.open = true;
    target.scrollIntoView();
    if (target.localName === "details") target.firstElementChild.focus({ preventScroll: true });
  };
  addEventListener("hashchange", reveal);
  addEventListener("click", event => {  // the same fragment once more changes nothing, and is wanted all the same
    const link = event.target.closest && event.target.closest("a[href^='#']");
    if (link && link.hash === location.hash && !link.role) reveal();
  });
  reveal();

  // Sorting: numbers by size, names by alphabet, what is missing last both ways; equal ones in the board's order.
  for (const table of all("table.ranks")) {
    const heads = all("thead th", table), body = table.tBodies[0], rows = [...body.rows];
    heads.forEach((head, index) => {
      const button = make("button", { type: "button" });
      const words = head.querySelector(".sort");
      words.replaceWith(button);
      button.append(words);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort"), first = head.dataset.first || "ascending";
        const order = !now ? first : now === "ascending" ? "descending" : "ascending";
        heads.forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1, numeric = head.matches(".num, .runs");
        const value = row => row.cells[index].dataset.v;
        const compare = (a, b) => numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
        const sorted = [...rows].sort((a, b) => {
          const x = value(a), y = value(b);
          return x === undefined || y === undefined ? (x === undefined) - (y === undefined) : sign * compare(x, y);
        });
        body.append(...sorted);
      });
    });
  }

  // Filtering: every word must be in the row.
  for (const input of all(".filter")) {
    const rows = [...document.getElementById(input.getAttribute("aria-controls")).tBodies[0].rows];
    const count = input.closest(".tools").querySelector(".count");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
      count.textContent = words.length ? `${rows.filter(row => !row.hidden).length} of ${rows.length} models` : "";
    });
  }

  // Commands can be copied; where the browser does not let us, they are selected.
  for (const code of all(".again pre")) {
    const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    code.before(button);
  }

  // Paper has no closed cards.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach(each => { each.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach(each => { each.open = false; }));
});
