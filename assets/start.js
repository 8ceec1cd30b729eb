// Starts the app once the cards, as the server drew them, have been painted: its scripts would take
// the network from them at a first visit, and the processor at each later one.
(() => {
  const run = (script) => {
    const copy = document.createElement("script");
    for (const { name, value } of script.attributes) copy.setAttribute(name, value);
    copy.text = script.text;
    copy.async = false;  // in the order in which they stand
    return document.body.appendChild(copy);
  };
  const start = () => {
    const scripts = [...document.getElementById("scripts").content.querySelectorAll("script")];
    const isFile = (script) => script.hasAttribute("src");
    const last = scripts.filter(isFile).map(run).pop();
    last.addEventListener("load", () => scripts.filter((script) => !isFile(script)).forEach(run));
  };
  if (document.hidden) start();  // nothing is painted in a tab that was opened in the background
  else requestAnimationFrame(() => setTimeout(start));
})();
