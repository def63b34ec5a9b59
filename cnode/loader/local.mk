# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/loader.c %D%/loader.h \
	%D%/jobs.c %D%/jobs.h \
	%D%/loader_answer.c %D%/loader_answer.h \
	%D%/loader_ask.c \
	%D%/loader_child.c %D%/loader_child.h \
	%D%/loader_confine.c %D%/loader_confine.h \
	%D%/loader_internal.h \
	%D%/loader_message.c %D%/loader_message.h \
	%D%/loader_process.c %D%/loader_process.h \
	%D%/loader_protocol.h \
	%D%/loader_slots.c %D%/loader_slots.h \
	%D%/records.c %D%/records.h
