# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/state.h \
	%D%/state_folder.c \
	%D%/state_internal.h \
	%D%/state_records.c \
	%D%/state_segments.c \
	%D%/state_shared.c
