# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/loader.c %D%/loader.h \
	%D%/jobs.c %D%/jobs.h \
	%D%/job_attach.c \
	%D%/job_errors.c %D%/job_errors.h \
	%D%/job_instructions.c \
	%D%/job_keep.c \
	%D%/job_load.c \
	%D%/job_log.c %D%/job_log.h \
	%D%/job_maps.c \
	%D%/job_object.c %D%/job_object.h \
	%D%/job_object_limits.c \
	%D%/job_options.c %D%/job_options.h \
	%D%/job_perf.c \
	%D%/job_run.c \
	%D%/job_variables.c \
	%D%/keep_sockmap.c %D%/keep_sockmap.h \
	%D%/keep_tc.c %D%/keep_tc.h \
	%D%/loader_answer.c %D%/loader_answer.h \
	%D%/loader_ask.c \
	%D%/loader_child.c %D%/loader_child.h \
	%D%/loader_confine.c %D%/loader_confine.h \
	%D%/loader_internal.h \
	%D%/loader_keeper.c \
	%D%/loader_message.c %D%/loader_message.h \
	%D%/loader_process.c %D%/loader_process.h \
	%D%/loader_protocol.h \
	%D%/loader_slots.c %D%/loader_slots.h \
	%D%/records.c %D%/records.h \
	%D%/tc_list.c %D%/tc_list.h
