/* What the pages do: colours, contents on small screens, folding, copying, and scrolling boxes that a keyboard reaches. */
(function () {
  "use strict";
  const root = document.documentElement;
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

  /* ---- light, dark, or as the system says ---- */
  const system = matchMedia("(prefers-color-scheme: dark)");
  const choices = { auto: "Auto", light: "Light", dark: "Dark" };

  function colours(choice) {
    root.dataset.choice = choice;
    root.dataset.theme = choice === "dark" || (choice === "auto" && system.matches) ? "dark" : "light";
    for (const button of all(".theme-switch")) {
      button.setAttribute("aria-label", `${choices[choice]} colours: change`);
      button.querySelector(".theme-switch__word").textContent = choices[choice];
      button.querySelector(".icon").className = `icon icon-${choice}`;
    }
  }

  function switchColours() {
    const order = system.matches ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
    const choice = order[(order.indexOf(root.dataset.choice) + 1) % 3];
    try {
      choice === "auto" ? localStorage.removeItem("colours") : localStorage.setItem("colours", choice);
    } catch (e) { /* storage may be closed to us: the choice then holds for this page */ }
    colours(choice);
  }

  /* ---- contents as a drawer on small screens ---- */
  function drawer() {
    const button = document.querySelector(".nav-switch");
    const nav = document.getElementById("book-nav");
    const shade = document.querySelector(".nav-shade");
    const set = (open) => {
      button.setAttribute("aria-expanded", String(open));
      nav.classList.toggle("open", open);
      shade.hidden = !open;
      root.classList.toggle("nav-open", open);
      if (open) (nav.querySelector("[aria-current]") || nav.querySelector("a")).focus({ preventScroll: true });
    };
    button.addEventListener("click", () => set(!nav.classList.contains("open")));
    shade.addEventListener("click", () => set(false));
    nav.addEventListener("click", (event) => { if (event.target.closest("a")) set(false); });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && nav.classList.contains("open")) { set(false); button.focus(); }
    });
    const here = nav.querySelector("[aria-current]");
    const below = here ? here.getBoundingClientRect().bottom - nav.getBoundingClientRect().bottom : 0;
    if (below > -40) nav.scrollTop = below + nav.clientHeight * 0.6;
  }

  /* ---- the section that is being read, in the contents ---- */
  function follow() {
    const links = new Map(all(".book-nav__sections a").map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
    const heads = Array.from(links.keys(), (id) => document.getElementById(id)).filter(Boolean);
    if (!heads.length) return;
    let due = false;
    const mark = () => {
      due = false;
      let now = null;
      for (const head of heads) if (head.getBoundingClientRect().top < innerHeight * 0.3) now = head;
      for (const [id, link] of links) link.classList.toggle("reading", now !== null && id === now.id);
    };
    addEventListener("scroll", () => { if (!due) { due = true; requestAnimationFrame(mark); } }, { passive: true });
    mark();
  }

  /* ---- boxes of class `dropdown` fold; a link into one opens it; print opens all ---- */
  function fold() {
    for (const box of all(".admonition.dropdown")) {
      const title = box.querySelector(":scope > .admonition-title");
      if (!title) continue;
      const details = document.createElement("details");
      const summary = document.createElement("summary");
      for (const { name, value } of Array.from(box.attributes)) details.setAttribute(name, value);
      summary.className = "admonition-title";
      summary.textContent = title.textContent.trim();
      title.remove();
      details.append(summary, ...box.childNodes);
      box.replaceWith(details);
    }
    for (const summary of all("details.hide > summary")) summary.removeAttribute("aria-label"); /* its text says it */
    const open = () => {
      const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (!target) return;
      let shut = false;
      for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS" && !e.open) { e.open = true; shut = true; }
      if (shut) target.scrollIntoView();
    };
    addEventListener("hashchange", open);
    open();
    addEventListener("beforeprint", () => all("details").forEach((d) => { d.dataset.was = d.open; d.open = true; }));
    addEventListener("afterprint", () => all("details").forEach((d) => { d.open = d.dataset.was === "true"; }));
  }

  /* ---- the word that opens a proof ---- */
  function proofs() {
    for (const first of all("div.proof.admonition > p:first-child")) {
      const text = first.firstChild;
      if (text?.nodeType !== Node.TEXT_NODE || !text.data.startsWith("Proof.")) continue;
      const word = document.createElement("span");
      word.className = "proof-word";
      word.textContent = "Proof.";
      text.data = text.data.slice(6);
      first.prepend(word);
    }
  }

  /* ---- a formula and the punctuation that touches it stay on one line ---- */
  function bindPunctuation() {
    for (const formula of all(".text mjx-container:not([display=true])")) {
      const holder = formula.closest("span.math") || formula;
      const before = holder.previousSibling?.nodeType === Node.TEXT_NODE && /[([“‘]+$/.exec(holder.previousSibling.data);
      const after = holder.nextSibling?.nodeType === Node.TEXT_NODE && /^[.,;:!?)\]”’]+/.exec(holder.nextSibling.data);
      if (!before && !after) continue;
      const span = document.createElement("span");
      span.className = "unbroken";
      holder.before(span);
      if (before) { span.previousSibling.data = span.previousSibling.data.slice(0, before.index); span.append(before[0]); }
      span.append(holder);
      if (after) { span.nextSibling.data = span.nextSibling.data.slice(after[0].length); span.append(after[0]); }
    }
  }

  /* ---- copy buttons ---- */
  function copyButtons() {
    for (const pre of all(".text .highlight pre")) {
      if (pre.closest(".cell_output")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.setAttribute("aria-label", "Copy the code");
      button.innerHTML = '<span class="icon icon-copy" aria-hidden="true"></span>';
      button.addEventListener("click", async () => {
        const lines = pre.innerText.replace(/\n$/, "");
        try { await navigator.clipboard.writeText(lines); } catch (e) {
          const range = document.createRange();
          range.selectNodeContents(pre);
          getSelection().removeAllRanges();
          getSelection().addRange(range);
          if (!document.execCommand("copy")) return;
        }
        button.classList.add("done");
        button.setAttribute("aria-label", "Copied");
        setTimeout(() => { button.classList.remove("done"); button.setAttribute("aria-label", "Copy the code"); }, 1600);
      });
      pre.parentElement.append(button);
    }
  }

  /* ---- what is wider than its box scrolls there, and can be reached by keyboard ---- */
  const scrolling = [
    [".text pre", "Code"],
    [".pst-scrollable-table-container, .text .output.text_html, .claim-scroll", "Table"],
    [".text mjx-container:is([display=true], .scrolls)", "Formula"],
  ];

  function reachable() {
    for (const [selector, label] of scrolling) {
      for (const box of all(selector)) {
        if (box.scrollWidth > box.clientWidth + 1 && box.clientWidth > 0) {
          box.tabIndex = 0;
          if (!box.hasAttribute("role")) { box.setAttribute("role", "group"); box.setAttribute("aria-label", label); box.dataset.labelled = ""; }
        } else if (box.tabIndex === 0) {
          box.removeAttribute("tabindex");
          if ("labelled" in box.dataset) { box.removeAttribute("role"); box.removeAttribute("aria-label"); delete box.dataset.labelled; }
        }
      }
    }
  }

  /* ---- on wide screens, code with long lines may use the margin ---- */
  function widen() {
    const roomy = matchMedia("(min-width: 1240px)").matches;
    for (const box of all(".text > section div.highlight, .text > section section div.highlight")) {
      const frame = box.closest(".cell, .source-listing") || box.parentElement;
      if (frame.closest(".admonition, .cell_output, .margin, details.cite-this") || box.closest("details:not([open])")) continue;
      frame.classList.remove("wide");
      const pre = box.querySelector("pre");
      if (roomy && pre && pre.scrollWidth > pre.clientWidth + 1) frame.classList.add("wide");
    }
    for (const note of all("aside.margin")) { /* a note before wide code moves up, beside the paragraph it belongs to */
      const beside = note.previousElementSibling;
      const blocked = roomy && note.nextElementSibling?.classList.contains("wide") && beside?.tagName === "P";
      note.style.marginTop = blocked ? `${-beside.offsetHeight - 12}px` : "";
    }
  }

  /* ---- a formula in the text that is wider than the column scrolls by itself ---- */
  function shortenFormulas() {
    const formulas = all(".text mjx-container:not([display=true])");
    for (const formula of formulas) formula.classList.remove("scrolls");
    const wide = formulas.filter((formula) => {
      const column = formula.closest("p, li, td, th, dd, h1, h2, h3, h4, figcaption, div");
      return column && column.clientWidth > 0 && (formula.closest(".unbroken") || formula).getBoundingClientRect().width > column.clientWidth - 4;
    });
    for (const formula of wide) formula.classList.add("scrolls");
  }

  function settle() { widen(); shortenFormulas(); reachable(); }

  /* ---- titles among the search's results: a formula as its letters ---- */
  function plainResults() {
    const results = document.getElementById("search-results");
    if (!results) return;
    new MutationObserver(() => {
      for (const link of all("li > a", results)) {
        const plain = link.textContent.replace(/\\\((.*?)\\\)/g, "$1");
        if (plain !== link.textContent) link.textContent = plain;
      }
    }).observe(results, { childList: true, subtree: true });
  }

  function start() {
    colours(root.dataset.choice || "auto");
    system.addEventListener("change", () => colours(root.dataset.choice));
    all(".theme-switch").forEach((button) => button.addEventListener("click", switchColours));
    drawer();
    fold();
    proofs();
    plainResults();
    copyButtons();
    follow();
    settle();
    let wait;
    addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(settle, 150); });
    document.addEventListener("toggle", settle, true);
    document.fonts?.ready.then(settle);
    window.MathJax?.startup?.promise?.then(() => { bindPunctuation(); settle(); root.dataset.math = "done"; });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, textarea, select, [contenteditable]")) return;
      const field = all('input[type="search"]').find((input) => input.offsetParent !== null);
      if (field) { event.preventDefault(); field.focus(); field.select(); }
    });
  }

  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
