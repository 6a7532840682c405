import OpenAI from "openai";
import { zodTextFormat, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none", maxRetries: 0 });
const model = "starter", report = {};
const messages = [{ role: "user", content: "Name a river in Europe." }];
const Answer = z.object({ river: z.string().max(40), long: z.boolean() });

report.texts = [];
for (const question of ["Where is it?", ""]) {
  let n = 0;
  const stream = client.chat.completions.stream({ model, messages, max_tokens: 24, stream_options: { include_usage: true } });
  for await (const chunk of stream) n += 1;
  const message = await stream.finalMessage();
  report.texts.push([message.content, n, (await stream.totalUsage()).completion_tokens]);
  messages.push(message, { role: "user", content: question });
}
const reply = await client.chat.completions.parse({ model, messages: messages.slice(0, 1), max_tokens: 60, response_format: zodResponseFormat(Answer, "answer") });
report.schema = reply.choices[0].message.parsed;
const rs = client.responses.stream({ model, input: "Name a river.", max_output_tokens: 60, text: { format: zodTextFormat(Answer, "answer") } });
const kinds = []; for await (const e of rs) kinds.push(e.type);
report.response = (await rs.finalResponse()).output_parsed; report.kinds = [...new Set(kinds)];
try { await client.chat.completions.create({ model: "gpt-4", messages }); } catch (e) { report.error = [e instanceof OpenAI.NotFoundError, e.code, e.type]; }
try { await client.chat.completions.create({ model, messages: [{ role: "user", content: "word ".repeat(20000) }], stream: true }); } catch (e) { report.long = [e instanceof OpenAI.BadRequestError, e.code]; }
const stream = await client.chat.completions.create({ model, messages: messages.slice(0, 1), n: 8, temperature: 1, max_tokens: 1000, stream: true });
for await (const chunk of stream) { if (chunk.choices[0]?.delta?.content) break; }
const controller = new AbortController();
setTimeout(() => controller.abort(), 1000);
try { await client.chat.completions.create({ model, messages: messages.slice(0, 1), n: 8, temperature: 1, max_tokens: 1000 }, { signal: controller.signal }); } catch (e) { report.aborted = e instanceof OpenAI.APIUserAbortError; }
console.log(JSON.stringify(report));
