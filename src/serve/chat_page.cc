#include "serve/chat_page.h"

#include <string_view>

namespace bitloom {
namespace {

constexpr std::string_view kPage = R"html(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bitloom chat</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --text: #1c1c1e; --back: #ffffff; --mine: #e4ecf7; --line: #8a8f98; --note: #5a5f68; --bad: #a11212; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececee; --back: #17181b; --mine: #26344a; --line: #7d828c; --note: #a9aeb8; --bad: #ff8d8d; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 50rem; min-height: 100vh; padding: 1rem; display: flex; flex-direction: column; gap: 0.75rem;
  font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); }
h1 { font-size: 1.25rem; margin: 0; }
#log { flex: 1; display: flex; flex-direction: column; gap: 0.75rem; }
#log p { margin: 0; padding: 0.5rem 0.75rem; border-radius: 0.5rem; white-space: pre-wrap; overflow-wrap: anywhere; }
#log .user { background: var(--mine); align-self: flex-end; max-width: 85%; }
#log .error { color: var(--bad); }
#note { color: var(--note); min-height: 1.5em; margin: 0; }
label { display: block; font-size: 0.9rem; color: var(--note); }
textarea, input { width: 100%; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 0.4rem; padding: 0.4rem 0.6rem; }
button { font: inherit; color: inherit; background: var(--mine); border: 1px solid var(--line); border-radius: 0.4rem; padding: 0.4rem 1rem; min-height: 2.75rem; }
button:disabled { opacity: 0.6; }
form { display: grid; gap: 0.5rem; }
.row { display: flex; flex-wrap: wrap; gap: 0.5rem; }
details > div { display: grid; gap: 0.5rem; padding-top: 0.5rem; }
</style>
</head>
<body>
<main style="display: contents">
<h1>bitloom chat</h1>
<details>
<summary>Settings</summary>
<div>
<label>System message <textarea id="system" rows="2"></textarea></label>
<label>Temperature <input id="temperature" inputmode="decimal" placeholder="the server's"></label>
<label>API key, where the server asks for one <input id="key" type="password" autocomplete="off"></label>
</div>
</details>
<div id="log" role="log" aria-live="polite" aria-label="Conversation"></div>
<p id="note" role="status"></p>
<form id="form">
<label for="text">Message (Enter sends, Shift and Enter breaks the line)</label>
<textarea id="text" rows="3" required></textarea>
<div class="row">
<button id="send">Send</button>
<button id="stop" type="button" disabled>Stop</button>
<button id="reset" type="button">New conversation</button>
</div>
</form>
</main>
<script>
"use strict";
const at = (id) => document.getElementById(id);
let messages = [], running = null;

function show(role, text) {
  const p = document.createElement("p");
  p.className = role;
  p.textContent = text;
  at("log").append(p);
  p.scrollIntoView({block: "end"});
  return p;
}

function busy(controller) {
  running = controller;
  at("send").disabled = controller !== null;
  at("stop").disabled = controller === null;
}

// Calls onEvent with every "data:" of a stream of server-sent events.
async function readEvents(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ") && line !== "data: [DONE]") onEvent(JSON.parse(line.slice(6)));
  }
}

function request() {
  const system = at("system").value.trim(), temperature = at("temperature").value.trim();
  const all = system ? [{role: "system", content: system}, ...messages] : messages;
  const body = {messages: all, stream: true, stream_options: {include_usage: true}};
  if (temperature) body.temperature = Number(temperature);
  const headers = {"Content-Type": "application/json"};
  if (at("key").value) headers.Authorization = "Bearer " + at("key").value;
  return {method: "POST", headers, body: JSON.stringify(body), signal: running.signal};
}

async function answer() {
  const shown = show("assistant", "");
  let text = "", usage = null, first = 0;
  const began = performance.now();
  try {
    const response = await fetch("v1/chat/completions", request());
    if (!response.ok) throw new Error((await response.json()).error.message);
    await readEvents(response.body, (event) => {
      if (event.error) throw new Error(event.error.message);
      usage = event.usage || usage;
      const piece = event.choices[0]?.delta.content;
      if (!piece) return;
      first = first || performance.now();
      shown.textContent = text += piece;
      shown.scrollIntoView({block: "end"});
    });
  } catch (error) {
    if (error.name !== "AbortError") show("error", error.message);
  }
  if (text) messages.push({role: "assistant", content: text});
  else { messages.pop(); shown.remove(); }
  const seconds = (performance.now() - (first || began)) / 1000;
  at("note").textContent = usage ? `${usage.completion_tokens} tokens, ${(usage.completion_tokens / seconds).toFixed(1)} tokens/s` : "";
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = at("text").value;
  if (running || !text.trim()) return;
  at("text").value = "";
  messages.push({role: "user", content: text});
  show("user", text);
  busy(new AbortController());
  await answer();
  busy(null);
  at("text").focus();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("form").requestSubmit();
});
at("stop").addEventListener("click", () => running?.abort());
at("reset").addEventListener("click", () => {
  running?.abort();
  messages = [];
  at("log").replaceChildren();
  at("note").textContent = "";
});
</script>
</body>
</html>
)html";

}  // namespace

const std::string& chat_page() {
  static const std::string page(kPage);
  return page;
}

}  // namespace bitloom
