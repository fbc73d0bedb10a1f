// What the parts of the page have in common: elements, the API, and how figures are written.

export const element = (id) => document.getElementById(id);

// make builds an element. Text is always text: nothing that a service says can become markup.
export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

// draw builds an element of an SVG image.
export function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// write leaves alone what is there already: a selection stays, and a screen reader says nothing twice.
export function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

// say has screen readers say what others see.
export const say = (text) => write(element("said"), text);

// ask gives what the API answers. The error is a TypeError where nobody answers.
export async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json().catch(() => ({ error: `${answer.status} ${answer.statusText}` }));
  if (!answer.ok) throw new Error(body.error ?? `${answer.status} ${answer.statusText}`);
  return body;
}

export const number = (value) => value.toLocaleString();

export const count = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;

export function moment(text) {
  return text ? new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "";
}

export const clock = (text) => new Date(text).toLocaleTimeString();

export function duration(seconds) {
  return seconds < 1 ? `${Number((seconds * 1000).toPrecision(3))} ms` : `${Number(seconds.toPrecision(3))} s`;
}

// name shows a host or a host and path, which wraps after its dots and slashes where there is little room.
export function name(text) {
  return text.split(/(?<=[./])/).flatMap((part) => [part, make("wbr")]);
}

export function state(is) {
  return make("span", { class: `state ${is}` }, is === "selfsigned" ? "self-signed" : is);
}
