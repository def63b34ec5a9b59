# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/audit.c %D%/audit.h \
	%D%/handle_audit.c \
	%D%/handle_capacity.c \
	%D%/handle_idle.c \
	%D%/handle_owners.c \
	%D%/handle_proof.c \
	%D%/handle_restore.c \
	%D%/handle_state.c \
	%D%/handle_table.c \
	%D%/handles.c %D%/handles.h \
	%D%/handles_internal.h \
	%D%/holders.c %D%/holders.h
