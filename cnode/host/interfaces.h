/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INTERFACES_H
#define INTERFACES_H

/* A result other than 0 ends the visits and is returned. */
typedef int (*interfaces_visitor)(void *context, const char *name);

/*
 * Calls visit with the name of each network interface in the namespace of this
 * process, in no order; one that is renamed meanwhile may come twice. 0, -errno
 * if descriptors or memory are missing.
 */
int interfaces_each(interfaces_visitor visit, void *context);

#endif
