"use strict";
(() => {
  const make = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // Sorting: rows within their block, by numbers where a column has them, else by words.

  const SIZES = { k: 1e3, M: 1e6, G: 1e9 };
  const number = (cell) => {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const found = /^\s*([-+−]?\d[\d.]*(?:e[-+−]?\d+)?)\s*([kMG]?)(?![\p{L}\d])/u.exec(cell.textContent);
    return found ? Number(found[1].replaceAll("−", "-")) * (SIZES[found[2]] ?? 1) : NaN;
  };
  const at = (row, column) => {
    let left = column;
    for (const cell of row.cells) {
      left -= cell.colSpan;
      if (left < 0) return cell;
    }
    return null;
  };
  const compared = (column, numeric, sign) => (first, second) => {
    const [a, b] = [at(first, column), at(second, column)];
    if (!a || !b) return !a - !b;
    if (!numeric) return sign * a.textContent.trim().localeCompare(b.textContent.trim(), "en", { numeric: true });
    const [x, y] = [number(a), number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) : sign * (x - y);
  };
  const sort = (table, head, column) => {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
    for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", next);
    for (const block of table.tBodies) {
      const rows = [...block.rows].filter((row) => row.dataset.place !== undefined);
      rows.sort((a, b) => a.dataset.place - b.dataset.place);
      if (next !== "none") rows.sort(compared(column, head.matches(".value, .n"), next === "ascending" ? 1 : -1));
      block.append(...rows);
    }
  };
  const sortable = (table) => {
    for (const block of table.tBodies) {
      [...block.rows].forEach((row, i) => {
        if (!row.querySelector(".block")) row.dataset.place = i;
      });
    }
    let column = 0;
    for (const head of table.tHead.rows[table.tHead.rows.length - 1].cells) {
      const here = column;
      column += head.colSpan;
      const button = make("button", { type: "button", className: "sort" }, ...head.childNodes);
      button.addEventListener("click", () => sort(table, head, here));
      head.append(button);
      head.setAttribute("aria-sort", "none");
    }
  };

  // Filtering: rows whose labels hold every word.

  const filterable = (table) => {
    const rows = [...table.tBodies].flatMap((block) => [...block.rows]).filter((row) => !row.querySelector(".block"));
    if (rows.length < 2) return;
    const labels = rows.map((row) => [...row.cells].filter((cell) => !cell.matches(".value, .n"))
      .map((cell) => cell.textContent).join(" ").toLowerCase());
    const field = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    const count = make("span", { className: "count" });
    count.setAttribute("role", "status");
    count.setAttribute("aria-live", "polite");
    const show = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach((row, i) => { row.hidden = !words.every((word) => labels[i].includes(word)); });
      for (const block of table.tBodies) {
        for (const title of block.querySelectorAll(".block")) {
          title.parentNode.hidden = [...block.rows].every((row) => row === title.parentNode || row.hidden);
        }
      }
      const n = rows.filter((row) => !row.hidden).length;
      count.textContent = `${n} ${n === 1 ? "row" : "rows"} of ${rows.length}`;
    };
    field.addEventListener("input", show);
    show();
    const around = table.closest(".scroll");
    const label = make("label", {}, "Filter ", field);
    field.setAttribute("aria-label", `Filter the rows of ${around.getAttribute("aria-label")}`);
    around.before(make("div", { className: "filter" }, label, count));
  };

  // What a cell says in full: under the pointer and under the focus alike.

  const tip = make("div", { id: "tip", hidden: true });
  tip.setAttribute("role", "tooltip");
  let told = null;
  const owner = (from) => (from instanceof Element ? from.closest("[data-tip]") : null);
  const hide = () => {
    if (told) (told.querySelector("a, button") ?? told).removeAttribute("aria-describedby");
    told = null;
    tip.hidden = true;
  };
  const tell = (cell) => {
    if (cell === told) return;
    hide();
    if (!cell) return;
    told = cell;
    tip.textContent = cell.dataset.tip;
    (cell.closest("dialog") ?? document.body).append(tip);
    tip.hidden = false;
    (cell.querySelector("a, button") ?? cell).setAttribute("aria-describedby", "tip");
    const [around, own] = [cell.getBoundingClientRect(), tip.getBoundingClientRect()];
    const below = around.bottom + 4 + own.height <= innerHeight;
    tip.style.left = `${Math.max(4, Math.min(around.right - own.width, innerWidth - own.width - 4))}px`;
    tip.style.top = `${below ? around.bottom + 4 : Math.max(4, around.top - own.height - 4)}px`;
  };
  const explained = () => {
    for (const cell of document.querySelectorAll("main [title]")) {
      cell.dataset.tip = cell.title;
      cell.removeAttribute("title");
      if (!cell.querySelector("a, button")) cell.tabIndex = 0;
    }
    document.addEventListener("pointerover", (event) => {
      if (event.target !== tip) tell(owner(event.target));
    });
    document.addEventListener("focusin", (event) => tell(owner(event.target)));
    document.addEventListener("focusout", hide);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
    window.addEventListener("scroll", hide, { passive: true, capture: true });
  };

  // What is behind a number: the part of the page that its link leads to, in front of the page.

  const panel = make("dialog", { id: "panel" });
  let home = null;
  let opener = null;
  const named = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const found = id ? document.getElementById(id) : null;
    return found?.matches(".behind") ? found : null;
  };
  const putBack = () => {
    home?.replaceWith(panel.querySelector(".behind"));
    home = null;
  };
  const open = (part) => {
    if (panel.contains(part)) return;
    putBack();
    home = document.createComment("");
    part.replaceWith(home);
    panel.append(part);
    panel.setAttribute("aria-label", part.querySelector("h2, h3, h4").textContent);
    hide();
    if (!panel.open) panel.showModal();
    panel.scrollTop = 0;
  };
  const follow = () => {
    const part = named();
    if (part) {
      opener ??= document.querySelector(`main a[href="#${CSS.escape(part.id)}"]`);
      open(part);
    } else if (panel.open) panel.close();
  };
  const leads = () => {
    const close = make("button", { type: "button", className: "close" }, "Close");
    close.addEventListener("click", () => panel.close());
    panel.append(close);
    document.body.append(panel);
    panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });
    panel.addEventListener("close", () => {
      putBack();
      if (location.hash) history.replaceState(null, "", location.href.split("#")[0]);
      const back = opener;
      opener = null;
      back?.focus();
      hide();
    });
    document.addEventListener("click", (event) => {
      const link = event.target instanceof Element ? event.target.closest('a[href^="#"]') : null;
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      const part = document.getElementById(decodeURIComponent(link.hash.slice(1)));
      if (!part?.matches(".behind")) return;
      event.preventDefault();
      if (!panel.contains(link)) opener = link;
      history.pushState(null, "", link.hash);
      follow();
    });
    window.addEventListener("hashchange", follow);
    window.addEventListener("popstate", follow);
    window.addEventListener("beforeprint", () => { if (panel.open) panel.close(); });
    follow();
  };

  // Films of one exhibit, started together.

  const playable = (films) => {
    const videos = [...films.querySelectorAll("video")];
    const button = make("button", { type: "button", className: "play" }, "Play all");
    const playing = () => videos.some((video) => !video.paused);
    const named = () => { button.textContent = playing() ? "Pause all" : "Play all"; };
    button.addEventListener("click", () => {
      const stop = playing();
      for (const video of videos) {
        if (stop) video.pause();
        else {
          video.currentTime = 0;
          video.play().catch(() => {});
        }
      }
    });
    for (const video of videos) for (const what of ["play", "pause"]) video.addEventListener(what, named);
    films.prepend(button);
  };

  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("table.filterable").forEach(filterable);
  document.querySelectorAll(".films").forEach(playable);
  explained();
  leads();
})();
