"""What reads the data frames that pacemaker trains from, where pickles are allowed."""
