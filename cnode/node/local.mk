# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/forget.c %D%/forget.h \
	%D%/node.c %D%/node.h \
	%D%/node_internal.h \
	%D%/node_start.c \
	%D%/notify.c %D%/notify.h \
	%D%/options.c %D%/options.h \
	%D%/options_settle.c \
	%D%/signals.c %D%/signals.h \
	%D%/stats_log.c %D%/stats_log.h
