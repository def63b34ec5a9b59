# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/check_functions.c \
	%D%/entry_functions.c \
	%D%/features_functions.c \
	%D%/functions.c %D%/functions.h \
	%D%/map_functions.c \
	%D%/handlers.h \
	%D%/host_functions.c \
	%D%/many_functions.c \
	%D%/stats_functions.c \
	%D%/walk_functions.c \
	%D%/whole_functions.c
