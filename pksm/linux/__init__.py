"""What Linux reports and takes: /proc, the files of KSM, facts about this machine."""
