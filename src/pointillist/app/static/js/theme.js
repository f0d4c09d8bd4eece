/** Dark or light: the system's choice until the user makes another. */

const DARK = matchMedia("(prefers-color-scheme: dark)");

export function startTheme(state) {
  const apply = () => {
    const theme = localStorage.getItem("theme") ?? (DARK.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    state.set({ theme });
  };
  DARK.addEventListener("change", apply);
  apply();
  return () => {
    localStorage.setItem("theme", state.get("theme") === "dark" ? "light" : "dark");
    apply();
  };
}
