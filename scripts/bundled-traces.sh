#!/usr/bin/env bash
# Records the traces that come with the package (data/traces/), each with the machine's
# state before and after, and each small enough to be shipped:
#
#   npm run build && sudo bash scripts/bundled-traces.sh [NAME…]     compile  database  scan
#
# Needs root, gcc and sqlite3. Drops the page cache and compacts memory first: states of a
# machine in order are small. Left out are the recorder's own events (reading the states of a large
# machine is more events than such a workload has) and those of other programs (keep-tasks.mjs).
set -euo pipefail
most=900000
root=$(cd "$(dirname "$0")/.." && pwd)
dist=${DIST:-$root/dist}
[ "$(id -u)" = 0 ] || { echo "bundled-traces: recording needs root" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# Nothing of this machine's places is in the words of a command.
cd "$dir"

record() { # NAME TASKS WARM-UP COMMAND…
  local name=$1 tasks=$2 warm=$3
  shift 3
  for attempt in 1 2 3 4 5; do
    sync
    echo 3 > /proc/sys/vm/drop_caches
    [ ! -w /proc/sys/vm/compact_memory ] || echo 1 > /proc/sys/vm/compact_memory
    # The programs themselves are in memory, as they are on a machine that is used.
    sh -c "$warm" > /dev/null
    sleep 0.5
    node "$dist/cli/memdesc.js" record -o "$name.whole" --sample 50ms --no-own -- "$@" > /dev/null
    # shellcheck disable=SC2086
    node "$root/scripts/keep-tasks.mjs" "$dist" "$name.whole" "$name.mdt" $tasks
    size=$(stat -c %s "$name.mdt")
    if [ "$size" -lt "$most" ]; then
      mkdir -p "$root/data/traces"
      cp "$name.mdt" "$root/data/traces/$name.mdt"
      return
    fi
    echo "bundled-traces: $name has $size bytes, once more ($attempt)" >&2
  done
  exit 1
}

# gcc compiles five small C files: processes, copy on write, page tables, the page cache.
compile() {
  for f in one two three four five; do
    for i in $(seq 40); do
      printf 'static int f%d(int x) { int s = 0; for (int i = 0; i < x; i++) s += (i * %d) ^ (s >> 3); return s; }\n' "$i" "$i"
    done > $f.c
    printf 'int %s(int x) { return f1(x)' $f >> $f.c
    for i in $(seq 2 40); do printf ' + f%d(x)' "$i"; done >> $f.c
    printf '; }\n' >> $f.c
  done
  record compile 'gcc cc1 as' 'gcc -O2 -c one.c' gcc -O2 -c one.c two.c three.c four.c five.c
}

# SQLite fills a table on the disk, indexes it, sums it up and deletes half of it.
database() {
  cat > fill.sql << 'SQL'
create table t(id integer primary key, k integer, v text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000)
insert into t select i, (i * 7919) % 300000, hex(i * 1234567) || hex(i) from n;
create index tk on t(k);
select count(*), sum(k) from t where k between 1000 and 30000;
delete from t where id % 2 = 0;
vacuum;
SQL
  record database sqlite3 'sqlite3 :memory: "select 1"' sqlite3 -bail db.sqlite '.read fill.sql'
  rm -f db.sqlite
}

# 160 MiB read into the page cache, read again, and taken out by removing the file.
scan() {
  head -c 160M /dev/urandom > spare
  record scan 'sh cat rm' 'cp spare large; sync; echo 3 > /proc/sys/vm/drop_caches; cat /dev/null' \
    sh -c 'cat large > /dev/null; cat large > /dev/null; rm large'
}

for name in ${*:-compile database scan}; do
  case $name in
    compile | database | scan) "$name" ;;
    *) echo "bundled-traces: there is no $name" >&2; exit 2 ;;
  esac
done
