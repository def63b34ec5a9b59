# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/address.c %D%/address.h \
	%D%/cookie.c %D%/cookie.h \
	%D%/control.c %D%/control.h \
	%D%/dflags.h \
	%D%/epmd.c %D%/epmd.h \
	%D%/handshake.c %D%/handshake.h \
	%D%/hostid.c \
	%D%/listeners.c %D%/listeners.h \
	%D%/opening.c %D%/opening.h \
	%D%/pids.c %D%/pids.h \
	%D%/transport.c %D%/transport.h \
	%D%/transport_internal.h \
	%D%/transport_tls.c
