# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/cert_names.c %D%/cert_names.h \
	%D%/tls.h \
	%D%/tls_session.h

if OPENSSL
cnode_but_main += \
	%D%/cert_openssl.c \
	%D%/tls.c \
	%D%/tls_context.c \
	%D%/tls_files.c \
	%D%/tls_internal.h \
	%D%/tls_session.c
else
cnode_but_main += %D%/without.c
endif
