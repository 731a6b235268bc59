# SPDX-License-Identifier: MIT
# Draws what burst_decay measured:
#   gnuplot -c burst_decay.gnuplot SAMPLES.csv PICTURE.png BOUND_MIB BORROW_SECONDS RELEASE_SECONDS
samples = ARG1
bound = ARG3 + 0
borrow = ARG4 + 0
release = ARG5 + 0

set terminal pngcairo size 1400,1500 font "DejaVu Sans,14" background "#ffffff"
set output ARG2
set datafile separator ","

# One contender's column in one of the two quiets. Its rows lie together, so that its line does.
row(quiet, contender, column) = \
	strcol(1) eq quiet && strcol(2) eq contender ? column(column) : NaN

# Dark and light blue are the pools', so that they stand out from the mallocs.
set linetype 11 linecolor "#08306b" linewidth 3.5
set linetype 12 linecolor "#4292c6" linewidth 3.5
set linetype 13 linecolor "#08306b" linewidth 2.5 dashtype (6, 4)
set linetype 21 linecolor "#d55e00" linewidth 2
set linetype 22 linecolor "#aa4499" linewidth 2
set linetype 23 linecolor "#117733" linewidth 2
set linetype 24 linecolor "#777777" linewidth 2
set linetype 31 linecolor "#c00000" linewidth 2 dashtype (10, 5)

stats samples using 3 skip 1 nooutput
set xrange [0:floor(STATS_max)]
stats samples using 4 skip 1 nooutput
resident = ceil(STATS_max * 1.15 / 20) * 20

set border 3 linecolor "#444444"
set grid ytics linecolor "#dddddd" linetype 1 linewidth 1
set tics nomirror out textcolor "#222222"
set lmargin at screen 0.075
set rmargin at screen 0.69
set key at screen 0.705, graph 1 left top vertical Left reverse samplen 2.5 spacing 1.35
set object 1 rectangle from borrow, graph 0 to release, graph 1 behind fillcolor "#f3ecd9" \
	fillstyle solid noborder
set label 1 "burst" at (borrow + release) / 2, graph 0.95 center textcolor "#7a6a3a"
set ylabel "MiB" offset 1, 0
bound_name = sprintf("the bound on idle bytes (retain): %g MiB", bound)

set multiplot

# ---- idle bytes ----
set title "Idle bytes in the pool" offset 0, -0.4 font ",16"
set tmargin at screen 0.955
set bmargin at screen 0.725
set format x ""
set yrange [0:bound * 1.35]
set label 2 bound_name at graph 0.99, first bound right offset 0, 0.7 textcolor "#c00000"
plot samples using 3:(row("used", "tierpool on jemalloc", 5)) with lines linetype 11 \
		title "on jemalloc, in light use", \
	"" using 3:(row("used", "tierpool on libc", 5)) with lines linetype 12 \
		title "on libc, in light use", \
	"" using 3:(row("untouched", "tierpool on jemalloc with reaper", 5)) with lines linetype 11 \
		linewidth 1.5 title "on jemalloc, untouched, with reaper", \
	"" using 3:(row("untouched", "tierpool on libc with reaper", 5)) with lines linetype 12 \
		linewidth 1.5 title "on libc, untouched, with reaper", \
	"" using 3:(row("untouched", "tierpool on jemalloc without reaper", 5)) with lines \
		linetype 13 title "on jemalloc, untouched, no reaper", \
	bound with lines linetype 31 notitle

# ---- resident memory, in light use ----
set title "Resident memory, one small buffer in light use after the burst"
set tmargin at screen 0.665
set bmargin at screen 0.395
set yrange [0:resident]
plot samples using 3:(row("used", "jemalloc", 4)) with lines linetype 21 title "jemalloc", \
	"" using 3:(row("used", "tcmalloc", 4)) with lines linetype 22 title "tcmalloc", \
	"" using 3:(row("used", "mimalloc", 4)) with lines linetype 23 title "mimalloc", \
	"" using 3:(row("used", "glibc", 4)) with lines linetype 24 title "glibc", \
	"" using 3:(row("used", "tierpool on libc", 4)) with lines linetype 12 \
		title "tierpool on libc", \
	"" using 3:(row("used", "tierpool on jemalloc", 4)) with lines linetype 11 \
		title "tierpool on jemalloc", \
	bound with lines linetype 31 notitle

# ---- resident memory, untouched ----
set title "Resident memory, nothing touched after the burst"
set tmargin at screen 0.335
set bmargin at screen 0.065
set format x "%g"
set xlabel "seconds" offset 0, 0.3
plot samples using 3:(row("untouched", "jemalloc", 4)) with lines linetype 21 title "jemalloc", \
	"" using 3:(row("untouched", "tcmalloc", 4)) with lines linetype 22 title "tcmalloc", \
	"" using 3:(row("untouched", "mimalloc", 4)) with lines linetype 23 title "mimalloc", \
	"" using 3:(row("untouched", "glibc", 4)) with lines linetype 24 title "glibc", \
	"" using 3:(row("untouched", "tierpool on jemalloc without reaper", 4)) with lines \
		linetype 13 title "tierpool on jemalloc without reaper", \
	"" using 3:(row("untouched", "tierpool on libc with reaper", 4)) with lines linetype 12 \
		title "tierpool on libc with reaper", \
	"" using 3:(row("untouched", "tierpool on jemalloc with reaper", 4)) with lines linetype 11 \
		title "tierpool on jemalloc with reaper", \
	bound with lines linetype 31 notitle

unset multiplot
