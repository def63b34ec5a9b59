# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/budget.c %D%/budget.h \
	%D%/clock.h \
	%D%/exit_status.h \
	%D%/heap.h \
	%D%/log.c %D%/log.h \
	%D%/log_fields.c %D%/log_fields.h \
	%D%/log_json.c %D%/log_json.h \
	%D%/patience.c %D%/patience.h \
	%D%/posix.c %D%/posix.h \
	%D%/rwlock.h \
	%D%/stats.c %D%/stats.h
