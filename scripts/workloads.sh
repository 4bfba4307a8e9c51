#!/usr/bin/env bash
# Records the workloads of docs/results.md with `memdesc record`, one file each:
#
#   npm run workloads -- DIR [NAME…]     build  database  node  scan  server
#
# Needs root, a built dist/ and, on Debian: apt-get install gcc make dpkg-dev
# postgresql nginx-light wrk. What a workload needs and is not there is named, and that
# workload left out. DIR needs about 6 GB while it runs; nothing outside of it is
# written but the page cache. Stop what else runs: the whole machine is recorded.
set -euo pipefail
[ $# -ge 1 ] || { sed -n 2,9p "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "workloads: recording needs root" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
names=${*:-build database node scan server}
memdesc() { node "$root/dist/cli/memdesc.js" "$@"; }

needs() {
  for tool in "$@"; do
    command -v "$tool" > /dev/null || [ -x "$tool" ] || { echo "workloads: left out, there is no $tool" >&2; return 1; }
  done
}

# Everything is made before the recording begins; only the work itself is recorded.
record() { # NAME COMMAND…
  local name=$1
  shift
  sync
  echo "== $name: $*"
  memdesc record -o "$dir/$name.mdt" -- "$@"
}

# A C program of Debian (redis 7.0, 100 files), compiled and linked with two jobs.
build() {
  needs gcc make dpkg-source apt-get || return 0
  if [ ! -d "$dir/src" ]; then
    mkdir -p "$dir/src" "$dir/lists/partial"
    echo 'deb-src http://deb.debian.org/debian bookworm main' > "$dir/sources.list"
    local apt=(apt-get -q -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$dir/lists" -o APT::Sandbox::User=root)
    "${apt[@]}" update > /dev/null
    (cd "$dir/src" && "${apt[@]}" source redis > /dev/null)
  fi
  local tree
  tree=$(echo "$dir"/src/redis-*/)
  make -C "$tree/src" distclean > /dev/null 2>&1 || true
  record build make -C "$tree/src" -j2 MALLOC=libc OPTIMIZATION=-O1 redis-server
}

# PostgreSQL: pgbench, scale 30 (450 MB), four clients for 20 s, shared buffers of 256 MB.
database() {
  local bin
  bin=$(echo /usr/lib/postgresql/*/bin)
  needs "$bin/postgres" pgbench runuser || return 0
  rm -rf "$dir/pg"
  install -d -o postgres "$dir/pg"
  local as=(runuser -u postgres --)
  "${as[@]}" "$bin/initdb" -D "$dir/pg/data" > /dev/null
  "${as[@]}" "$bin/pg_ctl" -w -D "$dir/pg/data" -l "$dir/pg/log" -o "-k $dir/pg -c listen_addresses= -c shared_buffers=256MB" start > /dev/null
  "${as[@]}" pgbench -q -h "$dir/pg" -i -s 30 postgres > /dev/null 2>&1
  record database "${as[@]}" pgbench -h "$dir/pg" -c 4 -j 2 -T 20 postgres || true
  "${as[@]}" "$bin/pg_ctl" -w -D "$dir/pg/data" stop > /dev/null
  rm -rf "$dir/pg"
}

# Node: the type checker over this project, which is a heap of a gigabyte, twice.
node_() {
  record node sh -c "cd '$root' && node node_modules/typescript/bin/tsc -p tsconfig.json --noEmit; node node_modules/typescript/bin/tsc -p tsconfig.json --noEmit; true"
}

# The page cache: 3 GiB read from the disk once, and every file of this project.
scan() {
  [ -f "$dir/large" ] || head -c 3G /dev/urandom > "$dir/large"
  sync
  echo 3 > /proc/sys/vm/drop_caches
  record scan sh -c "cat '$dir/large' > /dev/null; find '$root/' -type f -print0 | xargs -0 cat > /dev/null; tar cf - '$root/src' '$root/docs' | gzip -1 > '$dir/scan.tgz'"
  rm -f "$dir/large" "$dir/scan.tgz"
}

# A network server: nginx with two workers, 64 connections for 15 s, small and large files.
server() {
  needs nginx wrk || return 0
  local site=$dir/site
  mkdir -p "$site"
  for size in 1k 64k 4M; do head -c ${size/M/000k} /dev/zero > "$site/$size" 2> /dev/null || head -c "$size" /dev/zero > "$site/$size"; done
  cat > "$dir/nginx.conf" << CONF
worker_processes 2;
error_log $dir/nginx.log;
pid $dir/nginx.pid;
events { worker_connections 512; }
http { access_log off; server { listen 127.0.0.1:18080; root $site; } }
CONF
  chmod o+x "$dir"
  nginx -c "$dir/nginx.conf"
  record server sh -c 'for f in 1k 64k 4M; do wrk -t2 -c64 -d5s "http://127.0.0.1:18080/$f"; done' || true
  nginx -c "$dir/nginx.conf" -s stop
}

for name in $names; do
  case $name in
    node) node_ ;;
    build | database | scan | server) "$name" ;;
    *) echo "workloads: there is no $name" >&2; exit 2 ;;
  esac
done
