import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createOpenAI } from "@ai-sdk/openai";
import { streamText, generateText, generateObject, APICallError } from "ai";
import { z } from "zod";
const report = {};
const local = createOpenAICompatible({ name: "llmtool", baseURL: process.argv[2] + "/v1", supportsStructuredOutputs: true, includeUsage: true });
const openai = createOpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none" });
const Answer = z.object({ river: z.string().max(40), long: z.boolean() });
for (const [name, model, other] of [["compatible", local("starter"), local("gpt-4")], ["responses", openai("starter"), openai("gpt-4")], ["chat", openai.chat("starter"), openai.chat("gpt-4")]]) {
  const r = (report[name] = {});
  const messages = [{ role: "user", content: "Name a river in Europe." }];
  r.texts = [];
  for (const question of ["Where is it?", ""]) {
    const result = streamText({ model, messages, maxOutputTokens: 24, maxRetries: 0, onError: (e) => (r.streamError = String(e.error)) });
    let text = "", n = 0;
    for await (const part of result.textStream) { text += part; n += 1; }
    r.texts.push([text, n, (await result.usage).outputTokens, await result.finishReason, await result.warnings]);
    messages.push({ role: "assistant", content: text }, { role: "user", content: question });
  }
  const object = await generateObject({ model, schema: Answer, prompt: "Name a river.", maxOutputTokens: 60, maxRetries: 0 });
  r.schema = object.object; r.warnings = object.warnings;
  try { await generateText({ model: other, prompt: "Hi", maxRetries: 0 }); } catch (e) { r.error = [APICallError.isInstance(e), e.statusCode, e.data?.error?.code ?? JSON.parse(e.responseBody).error.code]; }
  const controller = new AbortController();
  const result = streamText({ model, prompt: "Tell a long story.", maxOutputTokens: 1900, temperature: 1, abortSignal: controller.signal, maxRetries: 0, onAbort: () => (r.aborted = true) });
  for await (const part of result.textStream) controller.abort();
}
console.log(JSON.stringify(report));
