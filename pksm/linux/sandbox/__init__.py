"""What a process gives up before it reads what others wrote: paths, system calls, capabilities; and such a process."""
