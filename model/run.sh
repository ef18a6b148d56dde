#!/bin/bash
# Checks the models of this folder with spin, every configuration exhaustively,
# and that each mutation is found. Fails if a rule is broken, a mutation is not
# found, or a search did not come to its end.
#
#   model/run.sh [-k folder] [pattern]
#
# pattern selects configurations by name; -k keeps each counter-example as text.
# JOBS (2) run at a time, each within MEM (4000) megabytes and LIMIT (300) s.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
here=$PWD keep='' JOBS=${JOBS:-2} MEM=${MEM:-4000} LIMIT=${LIMIT:-300}
if [ "${1:-}" = -k ]; then mkdir -p "$2" && keep=$(cd "$2" && pwd) || exit 1; shift 2; fi
pattern=${1:-.}

need() { command -v "$1" >/dev/null; }
if ! need spin || ! need gcc; then
	if [ "$(id -u)" = 0 ] && need apt-get; then
		echo "installing spin and gcc" >&2
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y spin gcc libc6-dev; } >/dev/null ||
			{ echo "they cannot be installed" >&2; exit 1; }
	else
		echo "spin and gcc are needed: apt-get install spin gcc" >&2; exit 1
	fi
fi

# name | model | expected | flags
#   holds: no violation in any reachable state    found: a violation
L="-DJUDGE1 -DMAXI=1 -DMAXE=2"                     # one holder and its judge, one incarnation
R="-DJUDGE1 -DMAXE=3 -DMAXS=1 -DMAXS2=2"           # ... that returns and claims again
N="-DELAPSED=0"                                    # silence proves nothing
O="-DHAND_ONLY_ADMITTED -DMAXQ=6 -DCRASHES=1 -DMAXI=3 -DMAXI1=1 -DCOLD -DNOLEAVE"
configurations() { cat <<END
both are masters in turn, 2 claims      |lease|holds|-DMAXE=2 -DMAXS=2 -DMAXS1=2 -DMAXS2=1
a holder that returns, 1 claim          |lease|holds|-DJUDGE1 -DMAXE=2 -DMAXS=3
a holder that returns, 2 claims         |lease|holds|$R
clocks that differ, margin 1            |lease|holds|$L -DSKEW -DT=3
clocks that differ, D 3                 |lease|holds|$L -DSKEW -DD=3 -DT=4
a history in doubt                      |lease|holds|$L -DDOUBT
not vacuous: mastership moves twice     |lease|found|$R -DREACH
renewal dated after the answer          |lease|found|$L -DM_DATED_AFTER
a late answer revives                   |lease|found|$L -DM_REVIVE
judged by a read begun too early        |lease|found|$L -DM_EARLY_READ
window dated from before its read       |lease|found|$L -DM_WINDOW_BEFORE
an old number is no news                |lease|found|$L -DM_OLDNUM
T shorter than D                        |lease|found|$L -DT=1
no margin for clocks that differ        |lease|found|$L -DSKEW
a mastership once not carried goes on   |lease|found|$L -DDOUBT -DM_CARRYAGAIN
a read astride the claim judges it      |lease|found|$R -DM_STRADDLE
claim over a fresh claim, unjudged      |lease|found|$R -DM_NO_REJUDGE
plain Put in place of Create (claim)    |lease|found|$R -DM_PUT
freeze, arm, restart, late writes       |silence|holds|
timings changed twice                   |silence|holds|-DMAXQ=6 -DMAXS=4 -DRESTARTS=0
timings changed by the master           |silence|holds|-DMASTER -DDLONG=4 -DFIRST=1 -DMAXS=4
the same, from long ones                |silence|holds|-DMASTER -DDLONG=4 -DFIRST=0 -DMAXS=4
VMs: clocks that differ, margin 1       |silence|holds|-DSKEW -DM=1 -DMAXS=4 -DMAXQ=3
not vacuous: proof after freeze and arm |silence|found|-DREACH
VMs: a read begun too early             |silence|found|-DM_EARLY_READ
VMs: an old number is no news           |silence|found|-DM_OLDNUM
VMs: no margin for clocks that differ   |silence|found|-DSKEW
a deadline handed past one that passed  |silence|found|-DM_PAST_DEADLINE
shorter timings do not shorten          |silence|found|-DM_NO_SHORTEN -DMAXQ=5 -DMAXS=4 -DRESTARTS=0
proof raised by one that read no arming |silence|found|-DM_RAISE_UNARMED
freeze keeps proofs, lifted untold      |silence|found|-DM_FREEZE_KEEPS_PROOF -DM_LIFT_UNTOLD
shorter timings before they were read   |silence|found|-DM_TIMINGS_UNREAD -DMASTER -DDLONG=4 -DFIRST=1 -DMAXS=4
silence proves                          |failover|holds|
silence proves nothing                  |failover|holds|$N
silence proves, a daemon restarts       |failover|holds|-DMAXQ=5 -DCRASHES=1
... and returns twice                   |failover|holds|-DMAXQ=5 -DCRASHES=1 -DMAXI=3 -DMAXI1=1 -DCOLD
... the other mend                      |failover|holds|-DMAXQ=5 -DCRASHES=1 -DMAXI=3 -DMAXI1=1 -DCOLD -DHAND_ONLY_ADMITTED
power cut, local memory rolled back     |failover|holds|-DMAXQ=6 -DCUTS=1 -DMEMLOSS -DMAXI1=1 $N
the operator's word                     |failover|holds|-DMAXQ=5 -DCUTS=1 -DOPERATOR -DNOLEAVE $N
the VM moves there and back             |failover|holds|-DMAXQ=5 -DBOTH $N
a start issued over an orphaned one     |failover|holds|-DAGAIN -DMAXQ=5 -DCRASHES=1 -DCOLD -DMAXI1=1 $N
... silence proves, it returns twice    |failover|holds|-DAGAIN -DMAXQ=5 -DCRASHES=1 -DMAXI=3 -DMAXI1=1 -DCOLD -DHAND_ONLY_ADMITTED
not vacuous: a VM restarts elsewhere    |failover|found|-DREACH=1
not vacuous: and on its returned owner  |failover|found|-DREACH=2
plain Put in place of Create            |failover|found|-DM_PUT
ErrUnknown taken for failure            |failover|found|-DM_UNKNOWN_FAILURE
ErrUnknown taken for success            |failover|found|-DM_UNKNOWN_SUCCESS
start before the ledger entry           |failover|found|-DM_START_BEFORE_ENTRY
start without admission                 |failover|found|-DM_NO_ADMISSION
time proves where nothing was declared  |failover|found|-DM_ELAPSED_UNDECLARED $N
silence of a replaced incarnation used  |failover|found|-DM_STALE_OF_REPLACED
moved with a fence and no proof         |failover|found|-DM_MOVE_UNPROVED
acknowledgement of a replaced one used  |failover|found|-DM_ACK_OF_REPLACED -DMAXQ=6 -DCUTS=1 -DMEMLOSS -DMAXI1=1 $N
acknowledgement that can be taken back  |failover|found|-DM_ACK_NOT_CLOSED -DMAXI=1 -DMAXI1=1 $N
acknowledged with a start unresolved    |failover|found|-DM_ACK_UNRESOLVED $N
unresolved start forgotten by a restart |failover|found|-DM_RESTART_FORGETS_START -DMAXQ=5 -DCRASHES=1 -DCOLD -DMAXI1=1 $N
an orphan is over when another one runs |failover|found|-DAGAIN -DM_AGAIN_IS_OVER -DMAXQ=5 -DCRASHES=1 -DCOLD -DMAXI1=1 $N
admitted after a fence, unverified      |failover|found|-DM_ADMIT_UNVERIFIED $O
verified stopped, a start unresolved    |failover|found|-DM_VERIFY_UNRESOLVED $O
confirm-fenced for any incarnation      |failover|found|-DM_CONFIRM_ANY -DMAXQ=5 -DCUTS=1 -DOPERATOR -DNOLEAVE $N
confirm-fenced survives its own claim   |failover|found|-DM_OWN_CLAIM_VOIDS_NOT -DMAXQ=5 -DCUTS=1 -DOPERATOR -DNOLEAVE $N
deadline handed over an orphaned start  |failover|found|-DM_ORPHANS_COUNT_NOT -DMAXQ=5 -DCRASHES=1 -DMAXI=3 -DMAXI1=1 -DCOLD -DNOLEAVE
END
}

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# check number name model expected flags: one line of the table, and a file when it is not as expected.
check() {
	local n=$1 name=$2 model=$3 want=$4 flags=$5 got states depth took
	local dir=$tmp/$n out=$tmp/$n/out
	mkdir "$dir" && cd "$dir" && cp "$here/$model.pml" . || return
	# shellcheck disable=SC2086 # flags are words
	if ! { spin -a $flags "$model.pml" && gcc -O2 -w -DSAFETY -DNOREDUCE -DCOLLAPSE -DMEMLIM="$MEM" -o pan pan.c; } >build 2>&1; then
		got="does not build: $(head -n 1 build)"
	else
		timeout "$LIMIT" ./pan -m1000000 >"$out" 2>&1
		local rc=$?
		if [ -f "$model.pml.trail" ]; then
			grep -q '^pan:1: assertion violated' "$out" && got=found || got="$(grep -m1 '^pan:1' "$out")"
			# shellcheck disable=SC2086
			[ -n "$keep" ] && { echo "# $model.pml $flags"; spin -t -T $flags "$model.pml" | sed '/^spin: trail ends/,$d'; } \
				>"$keep/${name//[^A-Za-z0-9]/_}.txt"
		elif [ $rc = 124 ]; then
			got="not finished in $LIMIT s"
		elif grep -qE 'max search depth too small|memory exceeded|out of memory|Search not completed' "$out" ||
			! grep -q 'errors: 0' "$out"; then
			got="search not complete"
		else
			got=holds
		fi
	fi
	states=$(awk '/states, stored/ {print $1}' "$out" 2>/dev/null)
	depth=$(sed -n 's/.*depth reached \([0-9]*\).*/\1/p' "$out" 2>/dev/null)
	took=$(sed -n 's/^pan: elapsed time \([0-9.]*\).*/\1/p' "$out" 2>/dev/null)
	if [ "$got" != "$want" ]; then
		got="$got, WANTED: $want"
		touch "$tmp/bad"
	fi
	printf '%-9s %-40s %10s %6s %7s  %s\n' "$model" "$name" "${states:--}" "${depth:--}" "${took:--}" "$got" >"$tmp/$n.row"
	cat "$tmp/$n.row"
	rm -rf "$dir"
}

printf '%-9s %-40s %10s %6s %7s  %s\n' model configuration states depth seconds verdict
n=0 began=$SECONDS
while IFS='|' read -r name model want flags; do
	name=${name%"${name##*[! ]}"}
	[[ $name =~ $pattern || $model =~ $pattern ]] || continue
	n=$((n + 1))
	while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
	check "$n" "$name" "$model" "$want" "$flags" &
done < <(configurations)
wait
if [ "$n" = 0 ]; then echo "no configuration is called $pattern" >&2; exit 1; fi
done=$(find "$tmp" -name '*.row' | wc -l)
if [ -e "$tmp/bad" ] || [ "$done" != "$n" ]; then
	echo "NOT as it should be; $n configurations, $((SECONDS - began)) s" >&2
	exit 1
fi
echo "all $n as they should be, $((SECONDS - began)) s"
