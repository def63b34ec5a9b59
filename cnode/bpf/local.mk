# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/map.c %D%/map.h \
	%D%/map_size.c %D%/map_size.h \
	%D%/map_batch.c \
	%D%/map_info.c \
	%D%/map_lock.c %D%/map_lock.h \
	%D%/map_open.c \
	%D%/map_rules.c %D%/map_rules.h \
	%D%/map_scan.c %D%/map_scan.h \
	%D%/map_types.c %D%/map_types.h \
	%D%/pins.c %D%/pins.h \
	%D%/resource.c %D%/resource.h \
	%D%/resource_pin.c %D%/resource_pin.h \
	%D%/retry.c %D%/retry.h \
	%D%/perf_rings.c %D%/perf_rings.h \
	%D%/ring.c %D%/ring.h \
	%D%/ring_pages.c %D%/ring_pages.h \
	%D%/map_walk.c %D%/map_walk.h \
	%D%/attach.c %D%/attach.h \
	%D%/link.c %D%/link.h \
	%D%/link_kept.c \
	%D%/program.c %D%/program.h \
	%D%/kernel_btf.c %D%/kernel_btf.h \
	%D%/kernel_types.h \
	%D%/user_ring.c %D%/user_ring.h \
	%D%/program_words.c %D%/program_words.h
