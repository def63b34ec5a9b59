# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/bpf_fs.c %D%/bpf_fs.h \
	%D%/cgroups.c %D%/cgroups.h \
	%D%/child.c %D%/child.h \
	%D%/cpus.c %D%/cpus.h \
	%D%/host_memory.c %D%/host_memory.h \
	%D%/host_name.c %D%/host_name.h \
	%D%/interfaces.c %D%/interfaces.h \
	%D%/names.c %D%/names.h \
	%D%/pin_path.c %D%/pin_path.h \
	%D%/root.c %D%/root.h \
	%D%/user.c %D%/user.h
