# SPDX-License-Identifier: MIT
# Draws what replay_trace --advise --csv says, or what advise.jq makes of a profile, which has intervals:
#   gnuplot -c advise.gnuplot ADVICE.csv PICTURE.png [interval]
# A curve for each pool, and its bound as a line of the same colour. A bound that is far to the right of
# the curves is drawn at the right edge.
advice = ARG1

set terminal pngcairo size 1200,760 font "DejaVu Sans,15" background "#ffffff"
set output ARG2
set datafile separator ","

set linetype 1 linecolor "#08306b" linewidth 3
set linetype 2 linecolor "#d55e00" linewidth 3
set linetype 3 linecolor "#117733" linewidth 3
set linetype 4 linecolor "#aa4499" linewidth 3
set linetype 5 linecolor "#4292c6" linewidth 3
set linetype 6 linecolor "#777777" linewidth 3

mib(bytes) = bytes / 1048576.0
curve(column) = strcol(2) eq "curve" ? column(column) : NaN

stats advice using 3 skip 1 nooutput
pools = STATS_blocks
array name[pools]
array bound[pools]
array enough[pools]
array share[pools]
least = 1e300
most = 0
do for [i = 1:pools] {
	bound[i] = NaN
	enough[i] = NaN
	stats advice index i - 1 skip 1 using (name[i] = strcol(1), \
		strcol(2) eq "now" ? (bound[i] = mib($3), share[i] = $4) : 0, \
		strcol(2) eq "enough" ? (enough[i] = mib($3)) : 0, \
		strcol(2) eq "curve" ? (least = $3 < least ? $3 : least, most = $3 > most ? $3 : most) : 0, \
		$3) nooutput
}
least = mib(least) / 1.1
right = 1.7 * mib(most)

set title "Gets that are served without a new block, by the bound on idle bytes" font ",17"
set border 3 linecolor "#444444"
set grid linecolor "#dddddd" linetype 1 linewidth 1
set xtics nomirror out textcolor "#222222"
set ytics nomirror out textcolor "#222222" 10
set logscale x
set xrange [least:right]
set yrange [0:102]
set xlabel "retain, MiB"
set ylabel "% of gets"
set format x "%g"
set key right bottom Left reverse samplen 2.5 spacing 1.3

do for [i = 1:pools] {
	x = bound[i] > right ? right : bound[i] < least ? least : bound[i]
	set arrow from x, 0 to x, 102 nohead linetype i linewidth 2 dashtype (10, 5) back
	set label sprintf("%s: %.3g MiB, %.1f %%%s", name[i], bound[i], 100 * share[i], \
		bound[i] > right ? " ->" : "") at x, 20 + 5 * i right offset -0.8, 0 \
		textcolor linetype i noenhanced
	if (enough[i] == enough[i]) {
		set label sprintf("99 %%: %.3g MiB", enough[i]) at enough[i], 99 point pointtype 7 \
			linetype i left offset 0.8, -1.2 textcolor linetype i
	}
}
if (ARGC > 2) {
	plot for [i = 1:pools] advice index i - 1 skip 1 using (mib(curve(3))):(100 * curve(5)):(100 * curve(6)) \
			with filledcurves linetype i fillstyle transparent solid 0.15 noborder notitle, \
		for [i = 1:pools] advice index i - 1 skip 1 using (mib(curve(3))):(100 * curve(4)) \
			with linespoints linetype i pointtype 7 pointsize 0.5 title name[i] noenhanced
} else {
	plot for [i = 1:pools] advice index i - 1 skip 1 using (mib(curve(3))):(100 * curve(4)) \
		with linespoints linetype i pointtype 7 pointsize 0.5 title name[i] noenhanced
}
