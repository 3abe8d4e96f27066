// Makes a test of each example in the README, of its blocks of `ts`.

import { readFileSync, writeFileSync } from "node:fs";

const readme = readFileSync("README.md", "utf8");
const blocks = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code.trimEnd().split("\n"));
const isImport = (line) => line.startsWith("import ");
for (const [index, lines] of blocks.entries()) {
  const code = [
    'import { test } from "node:test";',
    ...lines.filter(isImport),
    `test("example ${index + 1} of the README", async () => {`,
    ...lines.filter((line) => !isImport(line)),
    "});",
  ];
  writeFileSync(`test/readme-${index + 1}.test.ts`, `${code.join("\n")}\n`);
}
if (blocks.length === 0) {
  throw new Error("the README has no examples");
}
