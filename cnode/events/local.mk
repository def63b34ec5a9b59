# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/batches.c \
	%D%/events.c %D%/events.h \
	%D%/events_internal.h \
	%D%/events_peer.c \
	%D%/log_ring.c %D%/log_ring.h \
	%D%/sources.c \
	%D%/thread.c
