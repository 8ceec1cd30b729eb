// Starts the app after the server's cards have been painted, because its scripts would delay them: by
// the network on the first visit, by the processor on later ones.
(() => {
  const run = (script) => {
    const copy = document.createElement("script");
    for (const { name, value } of script.attributes) copy.setAttribute(name, value);
    copy.text = script.text;
    copy.async = false;  // keep their order
    return document.body.appendChild(copy);
  };
  const start = () => {
    const scripts = [...document.getElementById("scripts").content.querySelectorAll("script")];
    const isFile = (script) => script.hasAttribute("src");
    const last = scripts.filter(isFile).map(run).pop();
    last.addEventListener("load", () => scripts.filter((script) => !isFile(script)).forEach(run));
  };
  if (document.hidden) start();  // a tab in the background is never painted
  else requestAnimationFrame(() => setTimeout(start));
})();
