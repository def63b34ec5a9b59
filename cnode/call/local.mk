# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/call.c %D%/call.h \
	%D%/descriptions.c %D%/descriptions.h \
	%D%/entries.c %D%/entries.h \
	%D%/event_options.c %D%/event_options.h \
	%D%/inner_maps.c %D%/inner_maps.h \
	%D%/instructions.c %D%/instructions.h \
	%D%/keeping.c %D%/keeping.h \
	%D%/load_names.c %D%/load_names.h \
	%D%/load_options.c %D%/load_options.h \
	%D%/loaded.c %D%/loaded.h \
	%D%/loaded_hold.c \
	%D%/loaded_types.c \
	%D%/loaded_write.c \
	%D%/loading.c %D%/loading.h \
	%D%/locators.c %D%/locators.h \
	%D%/map_options.c %D%/map_options.h \
	%D%/members.c %D%/members.h \
	%D%/named.c %D%/named.h \
	%D%/new_types.c %D%/new_types.h \
	%D%/objects.c %D%/objects.h \
	%D%/perf_events.c %D%/perf_events.h \
	%D%/permissions.c %D%/permissions.h \
	%D%/pinning.c %D%/pinning.h \
	%D%/program_values.c %D%/program_values.h \
	%D%/raise.c %D%/raise.h \
	%D%/ranking.c %D%/ranking.h \
	%D%/refusal.c %D%/refusal.h \
	%D%/targets.c %D%/targets.h \
	%D%/typed.c %D%/typed.h \
	%D%/values.c %D%/values.h \
	%D%/views.c %D%/views.h \
	%D%/vmlinux_types.c %D%/vmlinux_types.h
