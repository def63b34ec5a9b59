# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/answer.c %D%/answer.h \
	%D%/answer_stack.c %D%/answer_stack.h \
	%D%/apply.c %D%/apply.h \
	%D%/connection.c %D%/connection.h \
	%D%/connection_internal.h \
	%D%/connection_serve.c \
	%D%/peers.c %D%/peers.h \
	%D%/request.c %D%/request.h \
	%D%/session.c %D%/session.h \
	%D%/spawn_options.c %D%/spawn_options.h
