"""Problems of one cause become one incident, from its start to its end."""
