"use strict";
// The theme: as the system says, or light or dark; remembered where the browser allows it.
{
  const button = document.getElementById("theme");
  const themes = { "light dark": "as the system", light: "light", dark: "dark" };
  const use = (theme) => {
    document.documentElement.style.colorScheme = theme;
    button.textContent = `Theme: ${themes[theme]}`;
    button.dataset.theme = theme;
  };
  const remembered = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null;
    }
  };
  const theme = remembered();
  use(theme in themes ? theme : "light dark");
  button.hidden = false;
  button.addEventListener("click", () => {
    const all = Object.keys(themes);
    const next = all[(all.indexOf(button.dataset.theme) + 1) % all.length];
    use(next);
    try {
      localStorage.setItem("theme", next);
    } catch {
      // A page without storage forgets it, and that is all.
    }
  });
}
