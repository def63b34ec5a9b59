# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/check_functions.c \
	%D%/entry_functions.c \
	%D%/event_functions.c \
	%D%/facts_functions.c \
	%D%/features_functions.c \
	%D%/functions.c %D%/functions.h \
	%D%/handlers.h \
	%D%/host_functions.c \
	%D%/link_functions.c \
	%D%/load_functions.c \
	%D%/loaded_functions.c \
	%D%/many_functions.c \
	%D%/map_functions.c \
	%D%/program_functions.c \
	%D%/rank_functions.c \
	%D%/run_functions.c \
	%D%/stats_functions.c \
	%D%/type_functions.c \
	%D%/walk_functions.c \
	%D%/whole_functions.c
