/**
 * The direction of imports (docs/architecture.md): every room imports only from
 * rooms below it. A rule per room, because a rule that can be read is one that
 * can be argued about.
 */
const rooms = [
  { name: "units", path: "^src/units\\.ts$" },
  { name: "engine", path: "^src/engine/" },
  { name: "observe", path: "^src/observe/" },
  { name: "scenario, check, trace", path: "^src/(scenario|check|trace)/" },
  { name: "report", path: "^src/report/" },
  { name: "cli, server, explorer", path: "^src/(cli|server|explorer)/" },
];

const engineRooms = [
  { name: "layout, words", path: "^src/engine/(layout|words)/" },
  { name: "design", path: "^src/engine/design/" },
  { name: "pages", path: "^src/engine/pages/" },
  { name: "process", path: "^src/engine/process/" },
  { name: "device", path: "^src/engine/device/" },
  { name: "drivers", path: "^src/engine/drivers/" },
  { name: "sanitizer", path: "^src/engine/sanitizer/" },
];

/** One rule per room: nothing in it may import from a room above it. */
function downwards(order, where) {
  return order.slice(0, -1).map((room, i) => ({
    name: `${where}: ${room.name} imports only downwards`,
    severity: "error",
    comment: `rooms from bottom to top: ${order.map((r) => r.name).join(" < ")}`,
    from: { path: room.path },
    to: { path: order.slice(i + 1).map((r) => r.path) },
  }));
}

module.exports = {
  forbidden: [
    ...downwards(rooms, "rooms"),
    ...downwards(engineRooms, "engine"),
    {
      name: "engine: layout and words know no other room",
      severity: "error",
      from: { path: "^src/engine/(layout|words)/" },
      to: { path: "^src/", pathNot: ["^src/engine/(layout|words)/", "^src/units\\.ts$"] },
    },
    {
      name: "a design choice imports only its axis",
      severity: "error",
      comment:
        "rule 3: a choice speaks in words and numbers, never in objects of upper rooms; an axis whose " +
        "interface fills several files names them axis-*.ts, a choice that does, after itself (page64-*.ts)",
      from: { path: "^src/engine/design/([^/]+)/([a-z0-9]+)", pathNot: "/axis[^/]*\\.ts$" },
      to: {
        path: "^src/",
        pathNot: [
          "^src/engine/design/$1/axis[^/]*\\.ts$",
          "^src/engine/design/$1/$2-[^/]*\\.ts$",
          "^src/engine/(layout|words)/",
          "^src/units\\.ts$",
        ],
      },
    },
    {
      name: "node: only at the edges",
      severity: "error",
      comment: "everything else runs in a browser",
      from: { path: "^src/", pathNot: ["^src/(cli|server)/", "\\.node\\.ts$"] },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "no .node.ts from what must run in a browser",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/(cli|server)/", "\\.node\\.ts$", "^src/index\\.ts$"] },
      to: { path: "\\.node\\.ts$", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "no cycles",
      severity: "error",
      from: { path: "^src/" },
      to: { circular: true },
    },
    {
      name: "no undeclared packages",
      severity: "error",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown", "unknown"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "everything resolves",
      severity: "error",
      from: { path: "^src/" },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "types", "default"] },
  },
};
