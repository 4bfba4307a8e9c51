#!/usr/bin/env bash
# What `memdesc record` costs the workload that it records, and itself:
#
#   npm run build && sudo bash scripts/record-overhead.sh [RUNS [NAME…]]     touch  fork  files  build  long
#
# Each workload runs RUNS times (5) without a recorder and as often under one; medians of
# elapsed, user and system time are printed, in seconds, the recorder's processor time per
# event, and what was lost. `long` touches pages for a minute and prints the recorder's
# memory over time. Needs root and gcc; writes to a temporary folder only.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dist=${DIST:-$root/dist}
runs=${1:-5}
shift || true
[ "$(id -u)" = 0 ] || { echo "record-overhead: recording needs root" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# Runs a command N times; medians of what the kernel says of it and its children.
cat > timed.c << 'C'
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static int less(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return (x > y) - (x < y); }
static double of(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }
int main(int argc, char **argv) {
  int n = atoi(argv[1]);
  double wall[64], user[64], sys[64];
  for (int i = 0; i < n; i++) {
    struct rusage use;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    pid_t child = fork();
    if (child == 0) { if (!freopen("/dev/null", "w", stdout)) _exit(1); execvp(argv[2], argv + 2); _exit(127); }
    wait4(child, NULL, 0, &use);
    clock_gettime(CLOCK_MONOTONIC, &to);
    wall[i] = to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9;
    user[i] = of(use.ru_utime);
    sys[i] = of(use.ru_stime);
  }
  qsort(wall, n, sizeof *wall, less);
  qsort(user, n, sizeof *user, less);
  qsort(sys, n, sizeof *sys, less);
  printf("%.2f %.2f %.2f\n", wall[n / 2], user[n / 2], sys[n / 2]);
  return 0;
}
C
# Nothing but page faults: 64 MiB of small pages, ROUNDS times (0: until it is ended).
cat > touch.c << 'C'
#include <stdlib.h>
#include <sys/mman.h>
int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 0;
  size_t size = 64 << 20;
  for (int r = 0; rounds == 0 || r < rounds; r++) {
    char *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += 4096) p[at] = 1;
    munmap(p, size);
  }
  return 0;
}
C
# Processes: fork and exec of one that ends at once.
cat > forks.c << 'C'
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
  for (int n = atoi(argv[1]); n > 0; n--) {
    pid_t child = fork();
    if (child == 0) { execl("/bin/true", "true", (char *)0); _exit(127); }
    waitpid(child, NULL, 0);
  }
  return 0;
}
C
for p in timed touch forks; do gcc -O1 -o $p $p.c; done

row() { # NAME COMMAND…
  local name=$1 plain traced said
  shift
  "$@" > /dev/null
  plain=$(./timed "$runs" "$@")
  traced=$(node "$dist/cli/memdesc.js" record -o t.mdt --no-state --no-own -- ./timed "$runs" "$@" 2> said)
  said=$(sed -nE 's/.*: ([0-9,]+) events in .*s\), (.*), [0-9.]+ .iB; recording took ([0-9.]+) s of CPU/\1 \3 \2/p' said | tr -d ,)
  # shellcheck disable=SC2086
  set -- $plain $traced $said
  awk -v name="$name" -v w="$1" -v u="$2" -v s="$3" -v tw="$4" -v tu="$5" -v ts="$6" -v n="$7" -v cpu="$8" -v runs="$runs" -v rest="${*:9}" \
    'BEGIN { printf "%-6s  elapsed %.2f -> %.2f   user+sys %.2f -> %.2f (sys %.2f -> %.2f)   %d events a run, %.0f ns each; recorder %.2f us/event; %s\n", name, w, tw, u + s, tu + ts, s, ts, n / runs, ((tu + ts) - (u + s)) * 1e9 / (n / runs), cpu * 1e6 / n, rest }'
}

files() {
  mkdir -p many
  [ -e many/15000 ] || for i in $(seq 15000); do echo "$i" > many/$i; done
  row files sh -c 'cd many && echo * | xargs cat'
}

build() {
  for k in $(seq 12); do
    for i in $(seq 250); do
      printf 'int g%d_%d(int x) { int s = 0; for (int i = 0; i < x; i++) s += (i * %d) ^ (s >> 3); return s; }\n' "$k" "$i" "$i"
    done > b$k.c
  done
  row build gcc -O2 -c b1.c b2.c b3.c b4.c b5.c b6.c b7.c b8.c b9.c b10.c b11.c b12.c
}

# The recorder's own memory while a workload never stops.
long() {
  node "$dist/cli/memdesc.js" record -o t.mdt --no-state --no-own --for 60s -- ./touch 2> said &
  local shell=$! pid
  sleep 1
  pid=$shell
  printf 'long    MiB of memory (RSS), every 5 s:'
  while [ -r /proc/$pid/status ]; do
    awk '/VmRSS/ { printf " %d", $2 / 1024 }' /proc/$pid/status 2> /dev/null || break
    sleep 5
  done
  printf '\n'
  wait $shell || true
  sed 's/^memdesc: /        /' said
}

for name in ${*:-touch fork files build long}; do
  case $name in
    touch) row touch ./touch 40 ;;
    fork) row fork ./forks 500 ;;
    files | build | long) "$name" ;;
    *) echo "record-overhead: there is no $name" >&2; exit 2 ;;
  esac
done
