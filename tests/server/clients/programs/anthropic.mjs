import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
const client = new Anthropic({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const model = "starter", report = {};
const messages = [{ role: "user", content: "Name a river in Europe." }];
const Answer = z.object({ river: z.string().max(40), long: z.boolean() });
report.texts = [];
for (const question of ["Where is it?", ""]) {
  const stream = client.messages.stream({ model, messages, max_tokens: 24 });
  let n = 0; stream.on("text", () => (n += 1));
  const message = await stream.finalMessage();
  report.texts.push([message.content[0].text, n, message.usage.output_tokens]);
  messages.push({ role: message.role, content: message.content }, { role: "user", content: question });
}
const reply = await client.messages.parse({ model, messages: messages.slice(0, 1), max_tokens: 60, output_config: { format: zodOutputFormat(Answer) } });
report.schema = reply.parsed_output;
try { await client.messages.create({ model: "claude", max_tokens: 9, messages: messages.slice(0, 1) }); } catch (e) { report.error = [e instanceof Anthropic.NotFoundError, e.error?.error?.type]; }
try { await client.messages.create({ model, max_tokens: 9, messages: [{ role: "user", content: "word ".repeat(20000) }], stream: true }); } catch (e) { report.long = [e instanceof Anthropic.BadRequestError, e.error?.error?.type]; }
const stream = client.messages.stream({ model, messages: messages.slice(0, 1), max_tokens: 1900, temperature: 1 });
stream.on("text", () => stream.abort());
try { await stream.finalMessage(); } catch (e) { report.aborted = e instanceof Anthropic.APIUserAbortError; }
console.log(JSON.stringify(report));
