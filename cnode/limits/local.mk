# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/map_charges.c %D%/map_charges.h \
	%D%/map_inner_sweep.c %D%/map_inner_sweep.h \
	%D%/map_memory.c %D%/map_memory.h \
	%D%/map_sweep.c %D%/map_sweep.h \
	%D%/pin_limit.c %D%/pin_limit.h
