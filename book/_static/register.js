// The register's filter: shows the cards that fit what is chosen. Without this script the form stays hidden and every card is shown.
{
  const form = document.querySelector(".claims-filter");
  const cards = [...document.querySelectorAll("section.claim")];
  for (const name of ["group", "whose"]) {
    for (const value of new Set(cards.map((card) => card.dataset[name]))) form.elements[name].add(new Option(value));
  }
  const fits = ({ dataset }) =>
    ["group", "whose"].every((name) => !form.elements[name].value || form.elements[name].value === dataset[name]) &&
    (!form.elements.verdict.value || dataset.verdicts.split(" ").includes(form.elements.verdict.value));
  const show = () => {
    for (const card of cards) card.hidden = !fits(card);
    const shown = cards.filter((card) => !card.hidden).length;
    form.querySelector("output").textContent = `${shown} of ${cards.length} sentences`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
  // A link to a card that is filtered away shows it again.
  addEventListener("hashchange", () => {
    const card = document.getElementById(location.hash.slice(1))?.closest("section.claim");
    if (card?.hidden) form.reset(), show(), card.scrollIntoView();
  });
}
