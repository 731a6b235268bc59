# SPDX-License-Identifier: MIT
# Draws what burst_decay measured:
#   gnuplot -c burst_decay.gnuplot SAMPLES.csv PICTURE.png BOUND_MIB BORROW_SECONDS RELEASE_SECONDS
# A row of panels for the buffers of many sizes, one for the small ones, one for what is idle in the
# pools. At the left one buffer is in light use after the burst, at the right nothing is touched.
samples = ARG1
bound = ARG3 + 0
borrow = ARG4 + 0
release = ARG5 + 0

set terminal pngcairo size 1500,1520 font "DejaVu Sans,15" background "#ffffff"
set output ARG2
set datafile separator ","

# One contender's column in one quiet after one burst. Its rows lie together, so that its line does.
row(burst, quiet, contender, column) = strcol(1) eq burst && strcol(2) eq quiet && \
	strcol(3) eq contender ? column(column) : NaN

# Dark and light blue are the pools', so that they stand out from the mallocs.
set linetype 11 linecolor "#08306b" linewidth 4
set linetype 12 linecolor "#4292c6" linewidth 4
set linetype 13 linecolor "#08306b" linewidth 2.5 dashtype (6, 4)
set linetype 21 linecolor "#d55e00" linewidth 2
set linetype 22 linecolor "#aa4499" linewidth 2
set linetype 23 linecolor "#117733" linewidth 2
set linetype 24 linecolor "#777777" linewidth 2
set linetype 31 linecolor "#c00000" linewidth 2 dashtype (10, 5)

stats samples using 4 skip 1 nooutput
set xrange [0:floor(STATS_max)]
stats samples using 5 skip 1 nooutput
resident = ceil(STATS_max * 1.15 / 20) * 20

# ---- where things are, in parts of the picture ----
left_from = 0.07
left_to = 0.512
right_from = 0.538
right_to = 0.984
do for [i = 1:3] {
	eval sprintf("top%d = %g", i, 0.872 - 0.296 * (i - 1))
	eval sprintf("bottom%d = top%d - 0.227", i, i)
}

set multiplot

# ---- one key for all panels ----
unset border
unset tics
set yrange [0:1]
set lmargin at screen left_from
set rmargin at screen right_to
set tmargin at screen 1
set bmargin at screen 0.94
set key at screen 0.03, 0.995 left top vertical Left reverse samplen 2.5 spacing 1.25 \
	width 2 maxrows 3
plot NaN with lines linetype 11 title "tierpool on jemalloc", \
	NaN with lines linetype 12 title "tierpool on libc", \
	NaN with lines linetype 13 title "tierpool on jemalloc, no reaper", \
	NaN with lines linetype 21 title "jemalloc", \
	NaN with lines linetype 22 title "tcmalloc", \
	NaN with lines linetype 23 title "mimalloc", \
	NaN with lines linetype 24 title "glibc", \
	NaN with lines linetype 31 title sprintf("bound on idle bytes: %g MiB", bound)
unset key

# ---- all panels ----
set border 3 linecolor "#444444"
set grid ytics linecolor "#dddddd" linetype 1 linewidth 1
set xtics nomirror out textcolor "#222222"
set ytics nomirror out textcolor "#222222"
set object 1 rectangle from borrow, graph 0 to release, graph 1 behind fillcolor "#f3ecd9" \
	fillstyle solid noborder
set label 1 "burst" at (borrow + release) / 2, graph 0.95 center textcolor "#7a6a3a"

left = 'set lmargin at screen left_from; set rmargin at screen left_to; \
	set ylabel "MiB" offset 0.1, 0; set format y "%g"; \
	set title "one small buffer in light use after the burst" font ",14" offset 0, -0.6'
right = 'set lmargin at screen right_from; set rmargin at screen right_to; \
	unset ylabel; set format y ""; \
	set title "nothing touched after the burst (tierpool: with the reaper)" font ",14" offset 0, -0.6'

# ---- resident memory ----
set yrange [0:resident]
set format x ""
do for [i = 1:2] {
	burst = word("mixed small", i)
	what = i == 1 ? "buffers of 256 bytes to 256 KiB" : "buffers of 4 KiB"
	set tmargin at screen value(sprintf("top%d", i))
	set bmargin at screen value(sprintf("bottom%d", i))
	set label 2 sprintf("{/:Bold Resident memory, %s}", what) \
		at screen left_from, value(sprintf("top%d", i)) + 0.034 left font ",16"
	eval left
	plot samples using 4:(row(burst, "used", "jemalloc", 5)) with lines linetype 21, \
		"" using 4:(row(burst, "used", "tcmalloc", 5)) with lines linetype 22, \
		"" using 4:(row(burst, "used", "mimalloc", 5)) with lines linetype 23, \
		"" using 4:(row(burst, "used", "glibc", 5)) with lines linetype 24, \
		"" using 4:(row(burst, "used", "tierpool on libc", 5)) with lines linetype 12, \
		"" using 4:(row(burst, "used", "tierpool on jemalloc", 5)) with lines linetype 11, \
		bound with lines linetype 31
	unset label 2
	eval right
	plot samples using 4:(row(burst, "untouched", "jemalloc", 5)) with lines linetype 21, \
		"" using 4:(row(burst, "untouched", "tcmalloc", 5)) with lines linetype 22, \
		"" using 4:(row(burst, "untouched", "mimalloc", 5)) with lines linetype 23, \
		"" using 4:(row(burst, "untouched", "glibc", 5)) with lines linetype 24, \
		"" using 4:(row(burst, "untouched", "tierpool on jemalloc without reaper", 5)) \
			with lines linetype 13, \
		"" using 4:(row(burst, "untouched", "tierpool on libc with reaper", 5)) \
			with lines linetype 12, \
		"" using 4:(row(burst, "untouched", "tierpool on jemalloc with reaper", 5)) \
			with lines linetype 11, \
		bound with lines linetype 31
}

# ---- idle bytes: what is drawn thin is of the buffers of 4 KiB ----
set yrange [0:bound * 1.35]
set ytics 20
set format x "%g"
set xlabel "seconds" offset 0, 0.5
set tmargin at screen top3
set bmargin at screen bottom3
set label 2 "{/:Bold Idle bytes in the pools} (thin: buffers of 4 KiB)" \
	at screen left_from, top3 + 0.034 left font ",16"
eval left
plot samples using 4:(row("mixed", "used", "tierpool on libc", 6)) with lines linetype 12, \
	"" using 4:(row("mixed", "used", "tierpool on jemalloc", 6)) with lines linetype 11, \
	"" using 4:(row("small", "used", "tierpool on libc", 6)) with lines linetype 12 \
		linewidth 1.5, \
	"" using 4:(row("small", "used", "tierpool on jemalloc", 6)) with lines linetype 11 \
		linewidth 1.5, \
	bound with lines linetype 31
unset label 2
eval right
plot samples using 4:(row("mixed", "untouched", "tierpool on jemalloc without reaper", 6)) \
		with lines linetype 13, \
	"" using 4:(row("mixed", "untouched", "tierpool on libc with reaper", 6)) \
		with lines linetype 12, \
	"" using 4:(row("mixed", "untouched", "tierpool on jemalloc with reaper", 6)) \
		with lines linetype 11, \
	"" using 4:(row("small", "untouched", "tierpool on libc with reaper", 6)) \
		with lines linetype 12 linewidth 1.5, \
	"" using 4:(row("small", "untouched", "tierpool on jemalloc with reaper", 6)) \
		with lines linetype 11 linewidth 1.5, \
	bound with lines linetype 31

unset multiplot
