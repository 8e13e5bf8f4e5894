/* User-mode Linux before 6.13 hands the host a process's registers in a buffer of fixed size. A CPU with AMX has more of
 * them (11,008 bytes) than fit, and the host then refuses every write: "ptrace set fp regs failed, errno = 14", and the
 * kernel dies at start. Preloaded, this wraps ptrace() and hands over a buffer of the host's size, the registers that the
 * kernel doesn't know about in their initial state. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* In the XSAVE format, bytes 512 to 519 say which register sets are present; 0x2ff are those that every kernel knows. */
enum { PRESENT_AT = 512, PRESENT_KNOWN = 0x2ff };

/* Bytes that the host's kernel uses for all enabled register sets (CPUID leaf 13, EBX). */
static unsigned host_size(void)
{
	unsigned eax, ebx, ecx, edx;

	__cpuid_count(13, 0, eax, ebx, ecx, edx);
	return ebx;
}

long ptrace(enum __ptrace_request request, ...)
{
	static long (*real)(enum __ptrace_request, ...);
	static unsigned size;
	static _Alignas(64) unsigned char full[65536];
	va_list list;

	if (!real) {
		real = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
		size = host_size();
	}
	va_start(list, request);
	int pid = va_arg(list, int);
	void *addr = va_arg(list, void *);
	void *data = va_arg(list, void *);
	va_end(list);

	if ((int)request == PTRACE_SETREGSET && (uintptr_t)addr == NT_X86_XSTATE) {
		struct iovec *given = data;

		if (given->iov_len < size && size <= sizeof full) {
			struct iovec padded = { full, size };
			uint64_t present;

			memcpy(full, given->iov_base, given->iov_len);
			memset(full + given->iov_len, 0, size - given->iov_len);
			memcpy(&present, full + PRESENT_AT, sizeof present);
			present &= PRESENT_KNOWN;
			memcpy(full + PRESENT_AT, &present, sizeof present);
			return real(request, pid, addr, &padded);
		}
	}
	return real(request, pid, addr, data);
}
