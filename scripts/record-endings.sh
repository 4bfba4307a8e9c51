#!/usr/bin/env bash
# Every way in which `memdesc record` can end, tried on this machine: what is left of it?
#
#   npm run build && sudo bash scripts/record-endings.sh
#
# A line each: the ending, the exit code, which files there are, and whether the kernel's
# trace settings, trace instances and mounts are as they were before. Exits 1 where one is not
# (kill -9 leaves the instance to the next recording, which is tried too). Needs root.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dist=${DIST:-$root/dist}
memdesc=$dist/cli/memdesc.js
[ "$(id -u)" = 0 ] || { echo "record-endings: recording needs root" >&2; exit 2; }
dir=$(mktemp -d)
look=$(mktemp -d)
full=$(mktemp -d)
tidy() {
  umount "$full" 2> /dev/null
  rm -rf "$dir" "$look" "$full"
}
trap tidy EXIT
bad=0

# The settings that tracing has, through a mount of our own that is taken off at once.
settings() {
  mount -t tracefs tracefs "$look" || exit 2
  (
    cd "$look" || exit 2
    for f in tracing_on trace_clock buffer_size_kb current_tracer set_event set_event_pid set_event_notrace_pid trace_options events/enable; do
      echo "$f: $(cat $f 2> /dev/null)"
    done
    ls instances
  )
  umount "$look"
  cat /proc/self/mounts
}

before=$(settings)
check() { # ENDING EXIT-CODE FOLDER [INSTANCE-MAY-BE-LEFT]
  local after state="as before" files
  after=$(settings)
  if [ "$after" != "$before" ]; then
    state="DIFFERENT"
    if [ "${4:-}" = left ] && [ "$(grep -v '^memdesc-[0-9]*$' <<< "$after")" = "$before" ]; then state="as before, but for the instance"
    else bad=1; fi
  fi
  files=$(cd "$3" && echo *)
  [ "$files" != "*" ] || files="no file"
  printf '%-44s exit %-4s %-14s %s\n' "$1" "$2" "$files" "$state"
  rm -rf "${3:?}"/*
}

try() { # ENDING SIGNALS ARGUMENTS…: starts a recording, sends it signals 1.2 s apart
  local ending=$1 signals=$2
  shift 2
  setsid node "$memdesc" record -o "$dir/t.mdt" "$@" > /dev/null 2>&1 &
  local pid=$!
  for s in $signals; do
    sleep 1.2
    kill -s "$s" $pid 2> /dev/null
  done
  wait $pid 2> /dev/null
  local code=$? may=
  [ "$signals" != KILL ] || may=left
  check "$ending" $code "$dir" $may
}

try "the command ends" "" --no-state -- sh -c 'sleep 0.2'
try "the command fails" "" --no-state -- sh -c 'exit 3'
try "the command is killed" "" --no-state -- sh -c 'kill -9 $$'
try "the command is not there" "" --no-state -- /nonesuch
try "the time is over, without a command" "" --no-state --for 300ms
try "the time is over, the command goes on" "" --no-state --for 300ms -- sleep 30
try "Ctrl-C (SIGINT)" "INT" --no-state
try "SIGTERM" "TERM" --no-state -- sleep 30
try "the terminal is gone (SIGHUP)" "HUP" --no-state -- sleep 30
try "twice, with a command that does not listen" "INT INT" --no-state -- sh -c 'trap "" INT TERM; sleep 30; sleep 30'
try "Ctrl-C while the state before is read" "INT" -- sleep 30
try "kill -9 of the recorder" "KILL" --no-state -- sleep 3
try "the recording after that" "" --no-state -- true

mount -t tmpfs -o size=300k tmpfs "$full"
before=$(settings)
node "$memdesc" record -o "$full/t.mdt" --no-state -- sh -c 'while :; do /bin/true; done' > /dev/null 2>&1
check "the disk is full" $? "$full"
umount "$full"
before=$(settings)
mkdir "$dir/folder"
node "$memdesc" record -o "$dir/folder" --no-state -- true > /dev/null 2>&1
check "the target is a folder" $? "$dir"

# Its own crash: an exception from a timer in the middle of it.
cat > "$look.mjs" << 'M'
setTimeout(() => { throw new Error("made"); }, 800);
M
node --import "$look.mjs" "$memdesc" record -o "$dir/t.mdt" --no-state -- sleep 30 > /dev/null 2>&1
check "an exception that nobody caught" $? "$dir"
rm -f "$look.mjs"
exit $bad
