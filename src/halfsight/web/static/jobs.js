// What the page asks of the server.

export class Refusal extends Error {
  constructor(status, code, message, wait = 0) {
    super(message);
    Object.assign(this, { status, code, wait });
  }
}

const refusal = async (response) => {
  const wait = Number(response.headers.get("Retry-After")) || 0;
  try {
    const { error } = await response.json();
    return new Refusal(response.status, error.code, error.message, wait);
  } catch {
    return new Refusal(response.status, "unknown", `The server answered ${response.status}.`, wait);
  }
};

const ask = async (address, options) => {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Refusal(0, "unreachable", "The server does not answer. Is it still running?");
  }
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? null : response.json();
};

const sleep = (seconds) => new Promise((done) => { setTimeout(done, 1000 * seconds); });

// Where many ask at once, the server names a time to come again: keep the place in the crowd.
export const start = async (form, waiting) => {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask("/api/explain", { method: "POST", body: form });
    } catch (error) {
      if (!error.wait || tries >= 30) throw error;
      waiting(error.wait);
      await sleep(error.wait);
    }
  }
};

export const status = (id) => ask(`/api/jobs/${encodeURIComponent(id)}`);
export const remove = (id) => ask(`/api/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });

const tables = new Map();
export const explanation = async (address) => {
  if (!tables.has(address)) tables.set(address, await ask(address));
  return tables.get(address);
};

// Calls back with every state of a job; returns what ends it.
export const follow = (job, { changed, ended, lost }) => {
  const source = new EventSource(job.links.events);
  let failures = 0;
  source.addEventListener("progress", (event) => { failures = 0; changed(JSON.parse(event.data)); });
  source.addEventListener("end", (event) => { source.close(); ended(JSON.parse(event.data)); });
  source.addEventListener("error", async () => {
    failures += 1; // the browser connects again by itself, unless the job is gone
    if (source.readyState !== EventSource.CLOSED && failures < 5) return;
    source.close();
    try {
      const now = await status(job.id);
      (now.state === "done" ? ended : lost)(now);
    } catch (error) {
      lost(job, error);
    }
  });
  return () => source.close();
};
