// What must be said where the page itself can't start: browsers load no modules, and read no files, for pages from disk.
"use strict";
if (location.protocol === "file:")
  addEventListener("DOMContentLoaded", () => {
    const problem = document.getElementById("problem");
    problem.textContent = 'Browsers let no page from disk read other files: put the page and the store on a web server, or run "zstruct live STORE --serve".';
    problem.hidden = false;
    document.getElementById("summary").textContent = "";
  });
